//! The trained network as lowering sees it: grids, batch norms, integer weights.

use engine::ops::EPS;
use engine::{Error, Graph, Layer, Node, NodeId, Params, Result};

use crate::{IntTensor, QParams, Quantization, linear_quantize};

/// What [`lower`](super::lower) reads.
pub struct Source<'a> {
    /// The float network.
    pub graph: &'a Graph,
    /// Its parameters.
    pub params: &'a Params,
    /// What makes integers of them; nothing may stay float.
    pub quantization: &'a Quantization,
    /// Height, width and channels of an image.
    pub image: [usize; 3],
    /// What the float network is given for a pixel `(channel, byte)`: the normalisation.
    pub pixel: &'a dyn Fn(usize, u8) -> f32,
}

/// On which grids the layers read each node's result; none, where nothing depends on it.
pub(super) fn wanted(source: &Source<'_>) -> Result<Vec<Vec<QParams>>> {
    let nodes = source.graph.nodes();
    let needed = needed(source);
    let mut wanted: Vec<Vec<QParams>> = vec![Vec::new(); nodes.len()];
    let mut want = |id: NodeId, q: QParams| {
        if !wanted[id].contains(&q) {
            wanted[id].push(q);
        }
    };
    for (id, node) in nodes.iter().enumerate().rev().filter(|(id, _)| needed[*id]) {
        match node.layer {
            Layer::Conv2d { .. } if source.is_silent_branch(id) => {}
            Layer::Conv2d { .. } | Layer::Linear { .. } | Layer::GlobalAvgPool => {
                want(node.inputs[0], source.input(&node.name)?);
            }
            Layer::Add => want(node.inputs[1], source.input(&node.name)?),
            _ => {}
        }
    }
    // Skipped pixels keep their grid.
    for (id, node) in nodes.iter().enumerate().rev() {
        if matches!(node.layer, Layer::SubsamplePad { .. }) {
            for q in wanted[id].clone() {
                if !wanted[node.inputs[0]].contains(&q) {
                    wanted[node.inputs[0]].push(q);
                }
            }
        }
    }
    Ok(wanted)
}

/// Whether the result depends on each node.
fn needed(source: &Source<'_>) -> Vec<bool> {
    let nodes = source.graph.nodes();
    let mut needed = vec![false; nodes.len()];
    needed.last_mut().into_iter().for_each(|last| *last = true);
    for (id, node) in nodes.iter().enumerate().rev() {
        if needed[id] && !source.is_silent_branch(id) {
            node.inputs.iter().for_each(|&input| needed[input] = true);
        }
    }
    needed
}

impl Source<'_> {
    /// Whether `conv` is a convolution of no bits at the end of a residual branch. Its input does not matter then, nor does
    /// anything that only leads there: all that the branch adds is what the batch norm makes of zeros.
    pub(super) fn is_silent_branch(&self, conv: NodeId) -> bool {
        let graph = self.graph;
        let silent =
            self.quantization.plan.get(&graph.nodes()[conv].name).is_some_and(|widths| widths.w == 0);
        let is_sum_from = |branch: NodeId, node: &Node| {
            node.layer == Layer::Add && node.inputs[0] == branch && node.inputs[1] != branch
        };
        let leads_to_sums = |(norm, node): (NodeId, &Node)| {
            matches!(node.layer, Layer::BatchNorm { .. })
                && graph.readers(norm).all(|(_, node)| is_sum_from(norm, node))
        };
        silent && graph.readers(conv).all(leads_to_sums)
    }

    /// The quantizer of a node's input.
    pub(super) fn input(&self, node: &str) -> Result<QParams> {
        let Some((_, bits)) = self.quantization.plan.inputs().find(|(name, _)| *name == node) else {
            let detail = format!(
                "`{node}` stays float under policy `{}`; an integer-only network needs `product`",
                self.quantization.config.policy
            );
            return Err(Error::value("lower", detail));
        };
        self.quantization.ranges.params(node, bits)
    }

    /// A parameter's numbers.
    pub(super) fn param(&self, node: &str, suffix: &str) -> Result<Vec<f64>> {
        Ok(self.params.get(&format!("{node}.{suffix}"))?.data().iter().map(|&v| f64::from(v)).collect())
    }

    /// `a` and `beta - a mu` of a batch norm.
    pub(super) fn batch_norm(&self, node: &str) -> Result<(Vec<f64>, Vec<f64>)> {
        let of = |suffix| self.param(node, suffix);
        let (gamma, beta, mean, var) = (of("weight")?, of("bias")?, of("running_mean")?, of("running_var")?);
        let a: Vec<f64> =
            gamma.iter().zip(&var).map(|(g, v)| g / (v + f64::from(EPS as f32)).sqrt()).collect();
        let b = (0..a.len()).map(|c| beta[c] - a[c] * mean[c]).collect();
        Ok((a, b))
    }

    /// The integer weights of a layer, their width and quantizer: the simulation's.
    pub(super) fn weights(&self, node: &str) -> Result<(IntTensor<i8>, u32, QParams)> {
        let bits = self.quantization.plan.get(node).map(|widths| widths.w);
        let Some(bits) = bits.filter(|&bits| bits <= 8) else {
            let found = bits.map_or("float".to_owned(), |bits| format!("{bits}-bit"));
            let detail = format!("layer `{node}` has {found} weights; integers take at most 8 bits");
            return Err(Error::value("lower", detail));
        };
        let w = self.params.get(&format!("{node}.weight"))?;
        let q = self.quantization.weight_params(node, w, bits)?;
        Ok((linear_quantize::<i8>(w, &q)?, bits, q))
    }
}
