//! The specification as a program: every sum in 64 bits, every requantization in 128, one number after the other.
//! Slow, and short enough to be checked by eye against `docs/integer-spec.md`. [`IntEngine`](super::IntEngine) is held
//! to it, code by code.

use super::{IntGraph, Op, Value, ValueId};
use crate::requantize::Requantize;

/// What one image becomes: every code of every value, `[h][w][c]`, and the logits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// By [`ValueId`].
    pub codes: Vec<Vec<i32>>,
    /// One per class.
    pub logits: Vec<i32>,
}

/// Computes the network for one image of bytes `[h][w][c]`.
///
/// # Panics
/// If the image has another size.
pub fn run(graph: &IntGraph, image: &[u8]) -> Trace {
    let mut trace = Trace { codes: vec![Vec::new(); graph.values.len()], logits: Vec::new() };
    for node in &graph.nodes {
        let value = |id: ValueId| &graph.values[id];
        match &node.op {
            Op::Lookup { y, table } => {
                assert_eq!(image.len(), value(*y).len(), "an image of the network's size");
                let code = |(i, pixel): (usize, &u8)| i32::from(table[i % table.len()][usize::from(*pixel)]);
                trace.codes[*y] = image.iter().enumerate().map(code).collect();
            }
            Op::Conv2d { x, w, stride, padding, residual, outputs, .. } => {
                let &[o, kh, kw, c] = w.dims() else { unreachable!("checked") };
                let (padded, row) = padded(value(*x), &trace.codes[*x], *padding);
                let [h, width, _] = value(outputs[0].0).dims;
                let mut sums = Vec::with_capacity(h * width * o);
                for (oy, ox) in (0..h).flat_map(|oy| (0..width).map(move |ox| (oy, ox))) {
                    for w in w.data().chunks(kh * kw * c) {
                        let windows = w.chunks(kw * c).enumerate();
                        let line = |ky: usize| &padded[(oy * stride + ky) * row + ox * stride * c..];
                        sums.push(windows.map(|(ky, w)| dot(line(ky), w)).sum::<i64>());
                    }
                }
                let r = residual.map(|r| trace.codes[r].clone());
                finish(&mut trace, outputs, &sums, r.as_deref());
            }
            Op::SubsamplePad { x, y, stride, lo } => {
                let ([_, w, c], [h, width, o]) = (value(*x).dims, value(*y).dims);
                let zero = -value(*y).zero_point;
                let code = |i: usize| {
                    let (oy, ox, channel) = (i / o / width, i / o % width, i % o);
                    let inside = channel.checked_sub(*lo).filter(|kept| *kept < c);
                    inside.map_or(zero, |kept| trace.codes[*x][(oy * stride * w + ox * stride) * c + kept])
                };
                trace.codes[*y] = (0..h * width * o).map(code).collect();
            }
            Op::GlobalAvgPool { x, outputs } => {
                let [h, w, c] = value(*x).dims;
                let sum = |channel| (0..h * w).map(|p| i64::from(trace.codes[*x][p * c + channel])).sum();
                let sums: Vec<i64> = (0..c).map(sum).collect();
                finish(&mut trace, outputs, &sums, None);
            }
            Op::Linear { x, w, b_int, .. } => {
                let (z, codes) = (i64::from(value(*x).zero_point), &trace.codes[*x]);
                let logit = |(row, b): (&[i8], &i32)| {
                    let terms = row.iter().zip(codes).map(|(w, x)| i64::from(*w) * (i64::from(*x) + z));
                    (terms.sum::<i64>() + i64::from(*b)) as i32
                };
                trace.logits = w.data().chunks(codes.len()).zip(b_int).map(logit).collect();
            }
        }
    }
    trace
}

/// `x_int + z_x` of every pixel inside a border of real zero, which is 0; and the numbers in one row of it.
fn padded(x: &Value, codes: &[i32], padding: usize) -> (Vec<i32>, usize) {
    let [h, w, c] = x.dims;
    let row = (w + 2 * padding) * c;
    let mut padded = vec![0; (h + 2 * padding) * row];
    for (i, line) in codes.chunks(w * c).enumerate() {
        let to = &mut padded[(i + padding) * row + padding * c..][..w * c];
        to.iter_mut().zip(line).for_each(|(to, code)| *to = code + x.zero_point);
    }
    (padded, row)
}

/// `sum x w`, as many terms as there are weights.
fn dot(x: &[i32], w: &[i8]) -> i64 {
    x.iter().zip(w).map(|(x, w)| i64::from(*x) * i64::from(*w)).sum()
}

/// Eq 7 for every output.
fn finish(trace: &mut Trace, outputs: &[(ValueId, Requantize)], sums: &[i64], residual: Option<&[i32]>) {
    for (y, q) in outputs {
        let channels = q.multiplier.len();
        let code = |(i, acc): (usize, &i64)| {
            q.apply_ref(i % channels, *acc, residual.map_or(0, |r| i64::from(r[i])))
        };
        trace.codes[*y] = sums.iter().enumerate().map(code).collect();
    }
}
