//! From a trained, calibrated network to integers: which number of the float network goes into which number of eq 7.
//!
//! With `gamma, beta, mu, sigma` of the batch norm behind a convolution, and `a = gamma / sigma`:
//!
//! ```text
//! y         = a (s_x s_w acc - mu) + beta  [+ s_r (r + z_r)]
//! y/s_y-z_y =  M acc + R r + B      M = a s_x s_w / s_y      R = s_r / s_y      B = (beta - a mu) / s_y + R z_r - z_y
//! ```
//!
//! Batch norm is not folded into the weights: that would move them off the grid they were trained on. It goes into
//! `M` and `B`, where there is room for it. The weights are those of the simulation, code for code.
//!
//! Two passes: backwards, to learn on which grids each activation is wanted; forwards over the fused steps
//! ([`engine::fast::fuse`]), to write nodes and values.

mod source;

use std::collections::HashMap;

use engine::fast::{Norm, Step, StepOp, fuse, norm_before};
use engine::{Error, Layer, NodeId, Result};

use super::validate::sum_bounds;
use super::{IntGraph, IntNode, Op, Value, ValueId};
use crate::integer::bias::product_scales;
use crate::integer::bound::fits_i32;
use crate::numbers::uniform::quantize_value;
use crate::requantize::{Bounds, RealMap, Requantize};
use crate::{IntTensor, QParams, quantize_bias};
pub use source::Source;
use source::wanted;

/// The integer-only network.
///
/// # Errors
/// If the plan leaves something float, asks for weights of more than 8 bits, or the network has a layer in a place
/// where integers have no form for it; or if a sum could overflow.
pub fn lower(source: &Source<'_>) -> Result<IntGraph> {
    let (wanted, dims) = (wanted(source)?, source.graph.extents(source.image)?);
    let mut lowering = Lowering { source, wanted, values: vec![], nodes: vec![], made: HashMap::new(), dims };
    for step in fuse(source.graph) {
        lowering.step(&step)?;
    }
    IntGraph::new(lowering.values, lowering.nodes)
}

struct Lowering<'a> {
    source: &'a Source<'a>,
    wanted: Vec<Vec<QParams>>,
    values: Vec<Value>,
    nodes: Vec<IntNode>,
    /// The values of each float node's result, by grid.
    made: HashMap<NodeId, Vec<(QParams, ValueId)>>,
    /// Shape of each float node's result.
    dims: Vec<[usize; 3]>,
}

impl Lowering<'_> {
    fn step(&mut self, &Step { id, op, .. }: &Step) -> Result<()> {
        match op {
            StepOp::Input => self.lookup(id),
            // Computed by whatever reads their results on a grid.
            StepOp::Conv2d | StepOp::Add => Ok(()),
            StepOp::ConvNorm { .. } | StepOp::Norm(_) | StepOp::Relu if self.wanted[id].is_empty() => Ok(()),
            StepOp::ConvNorm { norm, .. } | StepOp::Norm(norm) => self.convolution(id, norm),
            // Others read what lies before it too: on a grid of their own, by a convolution of their own.
            StepOp::Relu => match norm_before(self.source.graph, id) {
                Some(norm) => self.convolution(id, norm),
                None => Err(self.not_behind_a_convolution(id)),
            },
            StepOp::SubsamplePad { stride, lo, .. } => self.subsample(id, stride, lo),
            StepOp::GlobalAvgPool => self.pool(id),
            StepOp::Linear => self.linear(id),
        }
    }

    fn not_behind_a_convolution(&self, id: NodeId) -> Error {
        let name = &self.source.graph.nodes()[id].name;
        let detail = format!("`{name}`: only a batch norm behind a convolution has an integer form");
        Error::value("lower", detail)
    }

    /// A new value for the result of `id` on the grid of `q`.
    fn value(&mut self, id: NodeId, q: &QParams) -> ValueId {
        let (scale, zero_point) = q.channel(0);
        self.values.push(Value { dims: self.dims[id], bits: q.grid().bits(), zero_point, scale });
        self.made.entry(id).or_default().push((q.clone(), self.values.len() - 1));
        self.values.len() - 1
    }

    /// The value of `id` that `reader` reads, and its quantizer.
    fn read(&self, id: NodeId, reader: &str) -> Result<(ValueId, QParams)> {
        let q = self.source.input(reader)?;
        let made = self.made.get(&id).and_then(|made| made.iter().find(|(have, _)| *have == q));
        made.map(|(q, value)| (*value, q.clone())).ok_or_else(|| {
            let what = &self.source.graph.nodes()[id].name;
            Error::value("lower", format!("`{reader}` reads `{what}`, which has no integer form"))
        })
    }

    /// The node `id` in integers, under its name. What is computed twice, for readers on different sides of a ReLU, has two.
    fn push(&mut self, id: NodeId, op: Op) {
        let name = &self.source.graph.nodes()[id].name;
        let again = (2..).map(|i| format!("{name}.{i}"));
        let taken = |name: &String| self.nodes.iter().any(|node| node.name == *name);
        let free = std::iter::once(name.clone()).chain(again).find(|name| !taken(name));
        self.nodes.push(IntNode { name: free.expect("names do not end"), op });
    }

    /// The image's bytes, through one table per channel.
    fn lookup(&mut self, id: NodeId) -> Result<()> {
        let [q] = &self.wanted[id][..] else {
            return Err(Error::value("lower", "the image must be read by one convolution"));
        };
        let q = q.clone();
        let (s, z) = q.channel(0);
        let code = |c: usize, p: u8| Ok(quantize_value((self.source.pixel)(c, p), s, z, q.grid())? as u8);
        let table = (0..self.dims[id][2]).map(|c| {
            let mut row = [0; 256];
            (0..=255u8).try_for_each(|p| code(c, p).map(|code| row[usize::from(p)] = code)).map(|()| row)
        });
        let table = table.collect::<Result<Vec<_>>>()?;
        if q.grid().bits() > 8 {
            return Err(Error::value("lower", "the image takes at most 8 bits"));
        }
        let y = self.value(id, &q);
        self.push(id, Op::Lookup { y, table });
        Ok(())
    }

    /// `relu(batch_norm(conv(x)) + residual)`, some parts of which may be missing.
    fn convolution(&mut self, id: NodeId, Norm { id: norm, residual, relu }: Norm) -> Result<()> {
        let nodes = self.source.graph.nodes();
        let conv = nodes[norm].inputs[0];
        let Layer::Conv2d { stride, padding, .. } = nodes[conv].layer else {
            return Err(self.not_behind_a_convolution(id));
        };
        let name = &nodes[conv].name;
        let residual = residual.map(|r| self.read(r.from, &nodes[r.add].name)).transpose()?;
        let (w, w_bits, q_w) = self.source.weights(name)?;
        let ((x, q_x), w, stride, padding) = match &residual {
            // Its own input was never computed; one pixel of the residual is as good to multiply by zero.
            Some(residual) if self.source.is_silent_branch(conv) => {
                (residual.clone(), no_weights(w.dims()[0], self.dims[id][2])?, 1, 0)
            }
            _ => (self.read(nodes[conv].inputs[0], name)?, w, stride, padding),
        };
        let product = product_scales("lower", &q_x, &q_w, w.dims()[0])?;
        let (a, b) = self.source.batch_norm(&nodes[norm].name)?;
        let [acc, codes] = sum_bounds(&self.values[x], &w)?;
        let residual_code = residual.as_ref().map_or(0, |(r, _)| i64::from(self.values[*r].largest()));
        let bounds = Bounds { acc, codes, residual: residual_code };
        let mut outputs = Vec::new();
        for q_y in self.wanted[id].clone() {
            let (s_y, z_y) = (f64::from(q_y.channel(0).0), q_y.channel(0).1);
            let mut map = RealMap {
                per_acc: a.iter().zip(&product).map(|(a, s)| a * s / s_y).collect(),
                per_residual: None,
                offset: b.iter().map(|b| b / s_y - f64::from(z_y)).collect(),
            };
            if let Some((_, q_r)) = &residual {
                let (s_r, z_r) = q_r.channel(0);
                let r = f64::from(s_r) / s_y;
                map.per_residual = Some(r);
                map.offset.iter_mut().for_each(|b| *b += r * f64::from(z_r));
            }
            let lo = if relu { q_y.grid().qmin.max(-z_y) } else { q_y.grid().qmin };
            let in_layer = |e| Error::value("lower", format!("layer `{name}`: {e}"));
            let q = Requantize::new(&map, &bounds, lo, q_y.grid().qmax).map_err(in_layer)?;
            outputs.push((self.value(id, &q_y), q));
        }
        let residual = residual.map(|(r, _)| r);
        self.push(conv, Op::Conv2d { x, w, w_bits, stride, padding, residual, outputs });
        Ok(())
    }

    fn subsample(&mut self, id: NodeId, stride: usize, lo: usize) -> Result<()> {
        let from = self.source.graph.nodes()[id].inputs[0];
        for q in self.wanted[id].clone() {
            let found = self.made.get(&from).and_then(|made| made.iter().find(|(have, _)| *have == q));
            let &(_, x) =
                found.ok_or_else(|| Error::value("lower", "a shortcut reads what has no integer form"))?;
            let y = self.value(id, &q);
            self.push(id, Op::SubsamplePad { x, y, stride, lo });
        }
        Ok(())
    }

    /// The mean of real numbers `s_x (x_int + z_x)`: `M = s_x / (h w s_y)`, `B = s_x z_x / s_y - z_y`.
    fn pool(&mut self, id: NodeId) -> Result<()> {
        let node = &self.source.graph.nodes()[id];
        let (x, q_x) = self.read(node.inputs[0], &node.name)?;
        let ([h, w, c], (s_x, z_x)) = (self.values[x].dims, q_x.channel(0));
        let bounds = Bounds::new(vec![(h * w) as i64 * i64::from(self.values[x].largest()); c], 0);
        let mut outputs = Vec::new();
        for q_y in self.wanted[id].clone() {
            let (s_y, z_y) = q_y.channel(0);
            let ratio = f64::from(s_x) / f64::from(s_y);
            let map = RealMap {
                per_acc: vec![ratio / (h * w) as f64; c],
                per_residual: None,
                offset: vec![ratio * f64::from(z_x) - f64::from(z_y); c],
            };
            let q = Requantize::new(&map, &bounds, q_y.grid().qmin, q_y.grid().qmax)?;
            outputs.push((self.value(id, &q_y), q));
        }
        self.push(id, Op::GlobalAvgPool { x, outputs });
        Ok(())
    }

    fn linear(&mut self, id: NodeId) -> Result<()> {
        let node = &self.source.graph.nodes()[id];
        let (x, q_x) = self.read(node.inputs[0], &node.name)?;
        let (w, w_bits, q_w) = self.source.weights(&node.name)?;
        let scales = product_scales("lower", &q_x, &q_w, w.dims()[0])?;
        let b_int = quantize_bias(self.source.params.get(&format!("{}.bias", node.name))?.data(), &scales)?;
        let [acc, _] = sum_bounds(&self.values[x], &w)?;
        if let Some(c) = (0..b_int.len()).find(|&c| !fits_i32(acc[c] + b_int[c].abs())) {
            let detail = format!(
                "layer `{}`: class {c} has a bias of {} steps of {:e}, and a logit of an integer-only network has 32 \
                 bits: the weights are too small beside the bias; policy `course` takes it in 64",
                node.name, b_int[c], scales[c]
            );
            return Err(Error::value("lower", detail));
        }
        let b_int = b_int.into_iter().map(|b| b as i32).collect();
        let logit_scale = scales.iter().map(|&s| s as f32).collect();
        self.push(id, Op::Linear { x, w, w_bits, b_int, logit_scale });
        Ok(())
    }
}

/// A 1x1 convolution of zeros.
fn no_weights(outputs: usize, channels: usize) -> Result<IntTensor<i8>> {
    IntTensor::from_vec([outputs, 1, 1, channels], vec![0; outputs * channels])
}
