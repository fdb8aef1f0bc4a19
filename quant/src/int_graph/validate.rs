//! The rules an [`IntGraph`] keeps: what the engine and the reference take for granted.

use std::collections::HashSet;

use engine::ops::extent;
use engine::{Error, Result};

use super::{IntGraph, Op, Value, ValueId};
use crate::integer::bound::{accumulator_bound, fits_i32};
use crate::requantize::{Bounds, Requantize};
use crate::{Grid, IntTensor};

/// Larger extents are taken for damage.
const LARGEST_EXTENT: usize = 1 << 16;
/// As many codes or more in one value, padding included, are taken for damage.
const LARGEST_VALUE: usize = 1 << 28;

impl IntGraph {
    /// Checks every rule; the message names the node.
    pub(super) fn validate(&self) -> Result<()> {
        self.values
            .iter()
            .enumerate()
            .try_for_each(|(id, v)| check_value(v).map_err(|e| at("value", id, &e)))?;
        let (mut written, mut names) = (HashSet::new(), HashSet::new());
        for (id, node) in self.nodes.iter().enumerate() {
            let (first, last) = (id == 0, id + 1 == self.nodes.len());
            let named =
                |detail: String| Error::value("integer graph", format!("node `{}`: {detail}", node.name));
            if first != matches!(node.op, Op::Lookup { .. }) || last != matches!(node.op, Op::Linear { .. }) {
                return Err(named("the first node must be the lookup, the last the linear layer".into()));
            }
            // A file keeps what a node consists of under its name.
            if !names.insert(&node.name) {
                return Err(named("another node has this name".into()));
            }
            if let Some(x) = node.op.inputs().iter().find(|x| !written.contains(*x)) {
                return Err(named(format!("reads value {x}, which nothing has computed yet")));
            }
            for y in node.op.outputs() {
                if y >= self.values.len() || !written.insert(y) {
                    return Err(named(format!("writes value {y}, which does not exist or is written twice")));
                }
            }
            self.check_op(&node.op).map_err(|e| named(e.to_string()))?;
        }
        if self.nodes.is_empty() || written.len() != self.values.len() {
            return Err(Error::value("integer graph", "there are no nodes, or a value is never written"));
        }
        Ok(())
    }

    fn check_op(&self, op: &Op) -> Result<()> {
        let value = |id: &ValueId| &self.values[*id];
        match op {
            Op::Lookup { y, table } => {
                let y = value(y);
                let fits = table.iter().flatten().all(|&code| i32::from(code) <= y.largest());
                expect(table.len() == y.dims[2] && y.bits <= 8 && fits, "a table of codes for each channel")
            }
            Op::Conv2d { x, w, w_bits, stride, padding, residual, outputs } => {
                let x = value(x);
                let &[o, kh, kw, c] = w.dims() else { return expect(false, "weights [O, KH, KW, C]") };
                check_weights(w, *w_bits)?;
                let sane = (1..LARGEST_EXTENT).contains(stride) && *padding < LARGEST_EXTENT;
                expect(sane && c == x.dims[2], "as many channels as the weights take, and a stride")?;
                let bordered = (x.dims[0] + 2 * padding) * (x.dims[1] + 2 * padding) * c;
                expect(bordered < LARGEST_VALUE, "an image that fits into memory with its padding")?;
                let positions = |side: usize, k: usize| extent(side, k, *stride, *padding);
                let sides = positions(x.dims[0], kh).zip(positions(x.dims[1], kw));
                expect(
                    sides.is_some() && (*padding == 0 || has_zero(x)),
                    "a window that fits, real zero among the codes",
                )?;
                let dims = sides.map_or([0; 3], |(h, w)| [h, w, o]);
                let [acc, codes] = sum_bounds(x, w)?;
                let residual_code = residual.map_or(0, |r| i64::from(value(&r).largest()));
                let bounds = Bounds { acc, codes, residual: residual_code };
                if let Some(r) = residual {
                    expect(value(r).dims == dims, "a residual of the result's shape")?;
                }
                expect(!outputs.is_empty(), "an output")?;
                outputs.iter().try_for_each(|(y, q)| {
                    check_output(value(y), dims, q, &bounds)?;
                    expect(q.residual.is_some() == residual.is_some(), "a multiplier for the residual")
                })
            }
            Op::SubsamplePad { x, y, stride, lo } => {
                let (x, y) = (value(x), value(y));
                let kept = |side: usize| side.div_ceil(*stride);
                let same = x.bits == y.bits && x.zero_point == y.zero_point && has_zero(x);
                let dims = *stride > 0 && y.dims[..2] == [kept(x.dims[0]), kept(x.dims[1])];
                expect(
                    same && dims && lo.saturating_add(x.dims[2]) <= y.dims[2],
                    "the shape and grid of its input",
                )
            }
            Op::GlobalAvgPool { x, outputs } => {
                let x = value(x);
                let acc = (x.dims[0] * x.dims[1]) as i64 * i64::from(x.largest());
                expect(fits_i32(acc) && !outputs.is_empty(), "a sum within 32 bits, and an output")?;
                let bounds = Bounds::new(vec![acc; x.dims[2]], 0);
                outputs.iter().try_for_each(|(y, q)| {
                    expect(q.residual.is_none(), "no residual")?;
                    check_output(value(y), [1, 1, x.dims[2]], q, &bounds)
                })
            }
            Op::Linear { x, w, w_bits, b_int, logit_scale } => {
                let x = value(x);
                let &[o, i] = w.dims() else { return expect(false, "weights [O, I]") };
                check_weights(w, *w_bits)?;
                let positive = logit_scale.iter().all(|s| s.is_finite() && *s > 0.0);
                expect(
                    x.dims == [1, 1, i] && b_int.len() == o && logit_scale.len() == o,
                    "a bias for each class",
                )?;
                expect(positive, "scales that are positive and finite")?;
                let [acc, _] = sum_bounds(x, w)?;
                let narrow = acc.iter().zip(b_int).all(|(a, b)| fits_i32(a + i64::from(*b).abs()));
                expect(narrow, "logits within 32 bits")
            }
        }
    }
}

/// What no sum of each channel can exceed, of `(x_int + z_x) w_int` and of what the kernels add up, `x_int w_int` (of each
/// plane); an error where their 32 bits could overflow on the way.
pub(super) fn sum_bounds(x: &Value, w: &IntTensor<i8>) -> Result<[Vec<i64>; 2]> {
    let largest_x = i64::from((x.largest() + x.zero_point).abs().max(x.zero_point.abs()));
    let largest_code = i64::from(x.largest().min(255));
    let row = w.len() / w.dims()[0];
    let sums: Vec<i64> = w.data().chunks(row).map(|w| w.iter().map(|w| i64::from(*w).abs()).sum()).collect();
    let fits = sums
        .iter()
        .all(|sum| if x.bits <= 8 { fits_i32(largest_x.max(255) * sum) } else { fits_i32(255 * sum) });
    expect(fits, "sums within 32 bits")?;
    Ok([largest_x, largest_code].map(|x| sums.iter().map(|sum| accumulator_bound(x, *sum, 0)).collect()))
}

fn check_value(v: &Value) -> Result<()> {
    let dims = v.dims.iter().all(|d| (1..LARGEST_EXTENT).contains(d)) && v.len() < LARGEST_VALUE;
    expect(dims && (1..=16).contains(&v.bits), "positive extents and 1 to 16 bits")?;
    let zero = v.zero_point.unsigned_abs() <= 1 << 21;
    expect(zero && v.scale.is_finite() && v.scale > 0.0, "a scale that is positive and finite, |z| <= 2^21")
}

/// Whether real zero has a code.
fn has_zero(x: &Value) -> bool {
    (0..=x.largest()).contains(&-x.zero_point)
}

fn check_weights(w: &IntTensor<i8>, bits: u32) -> Result<()> {
    expect(bits <= 8 && !w.is_empty(), "weights of at most 8 bits")?;
    let grid = Grid::of_weights(bits)?;
    expect(w.data().iter().all(|&w| grid.contains(i32::from(w))), "weights on their grid")
}

fn check_output(y: &Value, dims: [usize; 3], q: &Requantize, bounds: &Bounds) -> Result<()> {
    expect(y.dims == dims, "an output of the result's shape")?;
    let lengths = q.multiplier.len() == dims[2] && q.bias.len() == dims[2];
    expect(
        lengths && 0 <= q.lo && q.lo <= q.hi && q.hi <= y.largest(),
        "one multiplier and bias per channel, codes on the grid",
    )?;
    expect(q.is_safe(bounds), "sums within 64 bits, within 32 what is shifted")
}

fn expect(holds: bool, what: &str) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::value("expected", what)) }
}

fn at(what: &str, id: usize, e: &Error) -> Error {
    Error::value("integer graph", format!("{what} {id}: {e}"))
}
