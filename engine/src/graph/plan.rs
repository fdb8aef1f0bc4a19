//! Which nodes run together: `relu(batch_norm(x))` and `relu(batch_norm(x) + r)` are one operation, so that the
//! values in between are never written to memory.

use super::{Graph, Layer, NodeId};

/// How one node is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// On its own.
    Alone,
    /// As a part of a later node.
    Absorbed,
    /// A ReLU that computes the batch norm before it, and the sum in between.
    BatchNormRelu { norm: NodeId, residual: Option<NodeId> },
}

pub(crate) struct Plan {
    pub steps: Vec<Step>,
    /// The node after which a node's value is not used any more.
    pub last_use: Vec<NodeId>,
    /// Whether a node's value goes to a batch norm and nowhere else.
    pub normed: Vec<bool>,
}

impl Plan {
    pub(crate) fn new(graph: &Graph) -> Self {
        let nodes = graph.nodes();
        let mut uses = vec![0; nodes.len()];
        nodes.iter().flat_map(|n| &n.inputs).for_each(|&i| uses[i] += 1);
        let mut steps = vec![Step::Alone; nodes.len()];
        for (id, node) in nodes.iter().enumerate() {
            if node.layer != Layer::Relu {
                continue;
            }
            let before = node.inputs[0];
            let absorb = |i: NodeId| uses[i] == 1;
            let is_norm = |i: NodeId| matches!(nodes[i].layer, Layer::BatchNorm { .. }) && absorb(i);
            if is_norm(before) {
                steps[before] = Step::Absorbed;
                steps[id] = Step::BatchNormRelu { norm: before, residual: None };
            } else if nodes[before].layer == Layer::Add && absorb(before) && is_norm(nodes[before].inputs[0])
            {
                let (norm, residual) = (nodes[before].inputs[0], nodes[before].inputs[1]);
                steps[before] = Step::Absorbed;
                steps[norm] = Step::Absorbed;
                steps[id] = Step::BatchNormRelu { norm, residual: Some(residual) };
            }
        }
        let mut last_use: Vec<NodeId> = (0..nodes.len()).collect();
        for (id, node) in nodes.iter().enumerate() {
            match steps[id] {
                Step::Alone => node.inputs.iter().for_each(|&i| last_use[i] = id),
                Step::Absorbed => {}
                Step::BatchNormRelu { norm, residual } => {
                    last_use[nodes[norm].inputs[0]] = id;
                    residual.into_iter().for_each(|r| last_use[r] = id);
                }
            }
        }
        let mut normed = vec![false; nodes.len()];
        for node in nodes.iter().filter(|n| matches!(n.layer, Layer::BatchNorm { .. })) {
            normed[node.inputs[0]] = uses[node.inputs[0]] == 1;
        }
        Self { steps, last_use, normed }
    }
}
