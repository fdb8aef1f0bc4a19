//! The one place where speed enters a network: its nodes are rewritten into fused steps.
//!
//! ```text
//! conv ─ batch norm ─ (+ residual) ─ relu        one step: ConvNorm
//! ```
//!
//! so that the values in between need not be written to memory. Training ([`Fused`](super::Fused)), float inference
//! ([`Inference`](crate::Inference)) and the lowering to integers all read this list; the plain function is the graph
//! itself, node by node ([`Graph::forward_plain`]).

use crate::{Graph, Layer, NodeId};

/// A part of a network that is computed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The node whose result it makes.
    pub id: NodeId,
    /// What it computes.
    pub op: StepOp,
    /// Nodes whose values are not used after it.
    pub frees: Vec<NodeId>,
}

/// What a [`Step`] computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepOp {
    /// The image.
    Input,
    /// A convolution that nobody but its batch norm reads, and what follows.
    ConvNorm {
        /// The convolution.
        conv: NodeId,
        /// What follows it.
        norm: Norm,
    },
    /// A batch norm that follows something else, or a convolution that others read too.
    Norm(Norm),
    /// A convolution without batch norm.
    Conv2d,
    /// A fully connected layer.
    Linear,
    /// A ReLU that stands alone.
    Relu,
    /// A sum that stands alone.
    Add,
    /// See [`Layer::SubsamplePad`].
    SubsamplePad {
        /// Step between kept pixels.
        stride: usize,
        /// Channels added below.
        lo: usize,
        /// Channels added above.
        hi: usize,
    },
    /// The mean over all pixels.
    GlobalAvgPool,
}

/// `batch_norm(x)`, `batch_norm(x) + r`, with or without ReLU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// The batch norm.
    pub id: NodeId,
    /// What is added to its result before the ReLU.
    pub residual: Option<Residual>,
    /// Whether there is a ReLU.
    pub relu: bool,
}

/// The second input of a sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Residual {
    /// The sum.
    pub add: NodeId,
    /// The node whose result is added.
    pub from: NodeId,
}

/// The steps of `graph`, in an order in which they can be computed.
pub fn fuse(graph: &Graph) -> Vec<Step> {
    let nodes = graph.nodes();
    let mut uses = vec![0; nodes.len()];
    nodes.iter().flat_map(|n| &n.inputs).for_each(|&i| uses[i] += 1);
    // What lies between a ReLU and its batch norm vanishes into the step, if nobody else reads it.
    let relu_of = |id: NodeId| {
        let unshared = |norm: &Norm| uses[norm.id] == 1 && norm.residual.is_none_or(|r| uses[r.add] == 1);
        norm_before(graph, id).filter(unshared)
    };
    let behind = |norm: Norm| {
        let conv = nodes[norm.id].inputs[0];
        let fits = matches!(nodes[conv].layer, Layer::Conv2d { .. }) && uses[conv] == 1;
        if fits { StepOp::ConvNorm { conv, norm } } else { StepOp::Norm(norm) }
    };
    let mut ops: Vec<Option<StepOp>> = Vec::new();
    for (id, node) in nodes.iter().enumerate() {
        let op = match node.layer {
            Layer::Input => StepOp::Input,
            Layer::Conv2d { .. } => StepOp::Conv2d,
            Layer::BatchNorm { .. } => behind(Norm { id, residual: None, relu: false }),
            Layer::Relu => relu_of(id).map_or(StepOp::Relu, behind),
            Layer::Add => StepOp::Add,
            Layer::SubsamplePad { stride, lo, hi } => StepOp::SubsamplePad { stride, lo, hi },
            Layer::GlobalAvgPool => StepOp::GlobalAvgPool,
            Layer::Linear { .. } => StepOp::Linear,
        };
        // What a step computes on the way needs none of its own.
        absorbed(&op).filter(|&inner| inner != id).for_each(|inner| ops[inner] = None);
        ops.push(Some(op));
    }
    let mut steps: Vec<Step> = Vec::new();
    for (id, op) in ops.into_iter().enumerate() {
        steps.extend(op.map(|op| Step { id, op, frees: Vec::new() }));
    }
    let mut seen = vec![false; nodes.len()];
    for step in steps.iter_mut().rev() {
        step.frees =
            step.reads(graph).into_iter().filter(|&i| !std::mem::replace(&mut seen[i], true)).collect();
    }
    steps
}

/// What the ReLU `id` is the end of: `relu(batch_norm(x))` or `relu(batch_norm(x) + r)`.
pub fn norm_before(graph: &Graph, id: NodeId) -> Option<Norm> {
    let nodes = graph.nodes();
    let before = nodes[id].inputs[0];
    let (norm, residual) = match (nodes[before].layer, &nodes[before].inputs[..]) {
        (Layer::Add, &[norm, from]) => (norm, Some(Residual { add: before, from })),
        _ => (before, None),
    };
    matches!(nodes[norm].layer, Layer::BatchNorm { .. }).then_some(Norm { id: norm, residual, relu: true })
}

/// All nodes inside a fused step.
fn absorbed(op: &StepOp) -> impl Iterator<Item = NodeId> + use<> {
    let (conv, norm) = match *op {
        StepOp::ConvNorm { conv, norm } => (Some(conv), Some(norm)),
        StepOp::Norm(norm) => (None, Some(norm)),
        _ => (None, None),
    };
    let add = norm.and_then(|norm| norm.residual).map(|residual| residual.add);
    [conv, norm.map(|norm| norm.id), add].into_iter().flatten()
}

impl Step {
    /// The nodes whose values it reads.
    pub fn reads(&self, graph: &Graph) -> Vec<NodeId> {
        let input = |id: NodeId| graph.nodes()[id].inputs[0];
        let with =
            |x: NodeId, norm: Norm| [Some(x), norm.residual.map(|r| r.from)].into_iter().flatten().collect();
        match self.op {
            StepOp::ConvNorm { conv, norm } => with(input(conv), norm),
            StepOp::Norm(norm) => with(input(norm.id), norm),
            _ => graph.nodes()[self.id].inputs.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONV: Layer = Layer::Conv2d { c: 4, o: 4, kernel: 3, stride: 1, padding: 1 };
    const NORM: Layer = Layer::BatchNorm { c: 4 };

    #[test]
    fn a_residual_block_is_two_steps() {
        let mut g = Graph::default();
        let x = g.add("x", Layer::Input, &[]);
        let conv1 = g.add("conv1", CONV, &[x]);
        let bn1 = g.add("bn1", NORM, &[conv1]);
        let relu1 = g.add("relu1", Layer::Relu, &[bn1]);
        let conv2 = g.add("conv2", CONV, &[relu1]);
        let bn2 = g.add("bn2", NORM, &[conv2]);
        let add = g.add("add", Layer::Add, &[bn2, x]);
        let relu2 = g.add("relu2", Layer::Relu, &[add]);
        let first = Norm { id: bn1, residual: None, relu: true };
        let second = Norm { id: bn2, residual: Some(Residual { add, from: x }), relu: true };
        let expected = [
            Step { id: x, op: StepOp::Input, frees: vec![] },
            Step { id: relu1, op: StepOp::ConvNorm { conv: conv1, norm: first }, frees: vec![] },
            Step { id: relu2, op: StepOp::ConvNorm { conv: conv2, norm: second }, frees: vec![relu1, x] },
        ];
        assert_eq!(fuse(&g), expected);
    }

    #[test]
    fn what_is_read_elsewhere_is_not_absorbed() {
        let mut g = Graph::default();
        let x = g.add("x", Layer::Input, &[]);
        let conv = g.add("conv", CONV, &[x]);
        let norm = g.add("norm", NORM, &[conv]);
        let relu = g.add("relu", Layer::Relu, &[norm]);
        let sum = g.add("sum", Layer::Add, &[relu, norm]);
        g.add("again", Layer::Add, &[sum, conv]);
        let ops: Vec<StepOp> = fuse(&g).into_iter().map(|step| step.op).collect();
        let alone = StepOp::Norm(Norm { id: norm, residual: None, relu: false });
        assert_eq!(ops, [StepOp::Input, StepOp::Conv2d, alone, StepOp::Relu, StepOp::Add, StepOp::Add]);
    }
}
