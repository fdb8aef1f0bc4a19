//! The integer-only network through an entropy coder: the same numbers as in the [model file](super::file), none of its
//! names and shapes in text.
//!
//! One function for both directions ([`coding`](crate::coding)): a node is laid out flat, its fields go through the
//! coder one after the other, and the node is made of what came back. A value is named by its distance from the next one
//! to be written, a node by its place in the list of names that both sides know, if it is there.

mod flat;

use engine::{Error, Result};

use super::{IntGraph, Value};
use crate::coding::{BitModel, Coder, Floats, Integers, Number, Part, Text, WeightCodes};
use crate::requantize::Requantize;
use flat::Flat;

/// More weights, or more nodes, are taken for damage.
const MOST_WEIGHTS: usize = 1 << 22;
const MOST_NODES: u64 = 1 << 12;

/// What the coder has learned about each kind of field.
#[derive(Default)]
struct Models {
    kind: Number,
    place: Number,
    text: Text,
    size: Number,
    bits: Number,
    shift: Number,
    clip: Number,
    flag: BitModel,
    zero_point: Integers,
    multiplier: Integers,
    of_residual: Integers,
    bias: Integers,
    scale: Floats,
    weights: WeightCodes,
    table: Number,
}

impl IntGraph {
    /// Passes `graph` through `c` and returns what comes back; a reader gives `None`. Both sides must give the same `names`,
    /// those that nodes are likely to have, in order.
    ///
    /// # Errors
    /// If what comes back is not a network that keeps the [rules](Self::new).
    pub fn coded(c: &mut impl Coder, graph: Option<&Self>, names: &[String]) -> Result<Self> {
        let m = &mut Models::default();
        let count = |c: &mut _, m: &mut Models, n: usize| match m.size.code(c, n as u64) {
            n if n <= MOST_NODES => Ok(n as usize),
            n => Err(broken(format!("{n} nodes or values"))),
        };
        let (values, nodes) = (graph.map_or(0, |g| g.values.len()), graph.map_or(0, |g| g.nodes.len()));
        let (values, nodes) = (count(c, m, values)?, count(c, m, nodes)?);
        let value = |i: usize| value(c, m, graph.map(|g| &g.values[i]));
        let values = (0..values).map(value).collect::<Result<Vec<_>>>()?;
        let (mut coded, mut next, mut place, mut weights) = (Vec::new(), 0, 0, 0);
        for i in 0..nodes {
            c.check()?;
            let mut flat = graph.map_or_else(Flat::default, |g| Flat::of(&g.nodes[i]));
            c.part(Part::Header);
            flat.name = name(c, m, &flat.name, names, &mut place)?;
            flat.structure(c, m, &mut next)?;
            weights += flat.len()?;
            if weights > MOST_WEIGHTS {
                return Err(broken(format!("more than {MOST_WEIGHTS} weights")));
            }
            flat.numbers(c, m, &values)?;
            coded.push(flat.node()?);
        }
        c.check()?;
        Self::new(values, coded)
    }
}

fn value(c: &mut impl Coder, m: &mut Models, value: Option<&Value>) -> Result<Value> {
    c.part(Part::Header);
    let blank = Value { dims: [0; 3], bits: 0, zero_point: 0, scale: 0.0 };
    let mut v = value.cloned().unwrap_or(blank);
    for d in &mut v.dims {
        *d = small(m.size.code(c, *d as u64))?;
    }
    v.bits = small(m.bits.code(c, u64::from(v.bits)))? as u32;
    let mut z = [i64::from(v.zero_point)];
    m.zero_point.code(c, &mut z);
    v.zero_point = i32::try_from(z[0]).map_err(|_| broken("a zero point of more than 32 bits"))?;
    c.part(Part::Scales);
    m.scale.code(c, std::slice::from_mut(&mut v.scale));
    c.check()?;
    Ok(v)
}

/// A name: how many of `names` are passed over from `place` on, plus 1; or 0, and the text.
fn name(
    c: &mut impl Coder,
    m: &mut Models,
    name: &str,
    names: &[String],
    place: &mut usize,
) -> Result<String> {
    let skipped = names[(*place).min(names.len())..].iter().position(|known| known == name);
    let skipped = small(m.place.code(c, skipped.map_or(0, |n| n as u64 + 1)))?;
    if skipped == 0 {
        return m.text.code(c, name);
    }
    let at = *place + skipped - 1;
    *place = at + 1;
    names.get(at).cloned().ok_or_else(|| broken("a name behind the last"))
}

impl Flat {
    /// Passes what the node is.
    fn structure(&mut self, c: &mut impl Coder, m: &mut Models, next: &mut u64) -> Result<()> {
        self.kind = m.kind.code(c, self.kind);
        if self.kind > 0 {
            self.x = next.wrapping_sub(m.place.code(c, next.wrapping_sub(self.x)));
        }
        let dims = [0, 4, 0, 0, 2][small(self.kind)?.min(4)];
        self.dims.resize(dims, 0);
        self.dims.iter_mut().for_each(|d| *d = m.size.code(c, *d));
        if dims > 0 {
            self.bits = m.bits.code(c, self.bits);
        }
        if matches!(self.kind, 1 | 2) {
            self.step = self.step.map(|s| m.size.code(c, s));
        }
        if self.kind == 1 && c.bit(self.residual.is_some(), &mut m.flag) {
            let distance = next.wrapping_sub(self.residual.unwrap_or(0));
            self.residual = Some(next.wrapping_sub(m.place.code(c, distance)));
        }
        let outputs = if self.kind == 4 { 0 } else { small(m.bits.code(c, self.outputs.len() as u64))? };
        if outputs > 64 {
            return Err(broken(format!("a node with {outputs} outputs")));
        }
        let blank = Requantize {
            left: 0,
            shift: 0,
            multiplier: vec![],
            bias: vec![],
            residual: self.residual.map(|_| (0, 0)),
            lo: 0,
            hi: 0,
        };
        self.outputs.resize(outputs, (0, blank));
        for (y, q) in &mut self.outputs {
            *y = next.wrapping_sub(m.place.code(c, next.wrapping_sub(*y)));
            *next = next.wrapping_add(1);
            if matches!(self.kind, 0 | 2) {
                continue;
            }
            for shift in [&mut q.left, &mut q.shift] {
                *shift = small(m.shift.code(c, u64::from(*shift)))? as u32;
            }
            for clip in [&mut q.lo, &mut q.hi] {
                *clip = small(m.clip.code(c, clip.unsigned_abs().into()))? as i32;
            }
            if let Some((left, multiplier)) = &mut q.residual {
                *left = small(m.shift.code(c, u64::from(*left)))? as u32;
                let mut wide = [i64::from(*multiplier)];
                m.of_residual.code(c, &mut wide);
                *multiplier = narrow(&wide)?[0];
            }
        }
        Ok(())
    }

    /// Number of weights.
    fn len(&self) -> Result<usize> {
        let product = |len: usize, &d: &u64| len.checked_mul(usize::try_from(d).ok()?);
        let len = if self.dims.is_empty() { Some(0) } else { self.dims.iter().try_fold(1, product) };
        len.filter(|len| *len <= MOST_WEIGHTS).ok_or_else(|| broken(format!("weights {:?}", self.dims)))
    }

    /// Passes the numbers, as many as the structure says.
    fn numbers(&mut self, c: &mut impl Coder, m: &mut Models, values: &[Value]) -> Result<()> {
        let of = |id: u64| values.get(small(id)?).ok_or_else(|| broken("a value that does not exist"));
        let channels = match self.kind {
            0 => of(self.outputs.first().map_or(u64::MAX, |(y, _)| *y))?.dims[2],
            3 => of(self.x)?.dims[2],
            _ => self.dims.first().map_or(0, |&o| o as usize),
        };
        if channels > 1 << 16 {
            return Err(broken(format!("{channels} channels")));
        }
        c.part(Part::Norms);
        if matches!(self.kind, 1 | 3) {
            for (_, q) in &mut self.outputs {
                c.check()?;
                let mut multiplier: Vec<i64> = q.multiplier.iter().map(|&v| v.into()).collect();
                multiplier.resize(channels, 0);
                q.bias.resize(channels, 0);
                m.multiplier.code(c, &mut multiplier);
                m.bias.code(c, &mut q.bias);
                q.multiplier = narrow(&multiplier)?;
            }
        }
        if self.kind == 0 {
            self.table.resize(channels, [0; 256]);
            for row in &mut self.table {
                c.check()?;
                let mut before = 0;
                for code in row {
                    // Neighbouring pixels have neighbouring codes, by no less.
                    let rise = code.wrapping_sub(before);
                    *code = before.wrapping_add(m.table.code(c, rise.into()) as u8);
                    before = *code;
                }
            }
        }
        if self.kind == 4 {
            self.b_int.resize(channels, 0);
            m.bias.code(c, &mut self.b_int);
            c.part(Part::Scales);
            self.scale.resize(channels, 0.0);
            m.scale.code(c, &mut self.scale);
        }
        let len = self.len()?;
        if len > 0 {
            if self.bits > 8 {
                return Err(broken(format!("weights of {} bits", self.bits)));
            }
            c.check()?;
            c.part(Part::Codes);
            self.w_int.resize(len, 0);
            let dims: Vec<usize> = self.dims.iter().map(|&d| d as usize).collect();
            m.weights.code(c, &mut self.w_int, self.bits as u32, &dims);
        }
        Ok(())
    }
}

fn narrow(all: &[i64]) -> Result<Vec<i32>> {
    let one = |&v: &i64| i32::try_from(v).map_err(|_| broken("a multiplier or bias of more than 32 bits"));
    all.iter().map(one).collect()
}

fn small(n: u64) -> Result<usize> {
    if n < 1 << 31 { Ok(n as usize) } else { Err(broken(format!("the number {n}"))) }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::value("coded integer model", format!("it holds {what}"))
}
