//! The network, written once: a list of named layers.
//!
//! Training, calibration, post-training quantization, quantization-aware training and integer evaluation all
//! run the same [`Graph`]; what differs is the [`Hook`] they pass. [`Graph::forward_plain`] is the interpreter to read.

mod extents;
mod hook;
mod pass;
mod plain;

pub use hook::{Float, Hook, Incoming, Input, LayerQuant, Operands};
pub(crate) use pass::{Asked, Leaves};
pub use pass::{Forward, Mode};

use crate::rng::{Purpose, Rng};
use crate::{Params, Result, Role, Tensor};

/// Position of a node in its graph.
pub type NodeId = usize;

/// What a node computes. Convolutions and linear layers own `<name>.weight` (and `<name>.bias`), batch norms
/// `<name>.weight`, `.bias`, `.running_mean` and `.running_var`: PyTorch's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// The image `[N, H, W, C]`.
    Input,
    /// Convolution without bias.
    Conv2d {
        /// Input channels.
        c: usize,
        /// Output channels.
        o: usize,
        /// Height and width of the kernel.
        kernel: usize,
        /// Step between output pixels.
        stride: usize,
        /// Zero pixels on each side.
        padding: usize,
    },
    /// Batch normalisation.
    BatchNorm {
        /// Channels.
        c: usize,
    },
    /// `max(x, 0)`.
    Relu,
    /// Sum of its two inputs.
    Add,
    /// Every `stride`-th pixel, with zero channels added on both sides (shortcut option A).
    SubsamplePad {
        /// Step between kept pixels.
        stride: usize,
        /// Channels added below.
        lo: usize,
        /// Channels added above.
        hi: usize,
    },
    /// Mean over all pixels.
    GlobalAvgPool,
    /// Fully connected, with bias.
    Linear {
        /// Inputs.
        i: usize,
        /// Outputs.
        o: usize,
    },
}

impl Layer {
    /// Whether it multiplies by a weight: what quantization is about.
    pub fn has_weight(&self) -> bool {
        matches!(self, Self::Conv2d { .. } | Self::Linear { .. })
    }
}

/// One layer of a [`Graph`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its PyTorch module path, such as `layer1.0.conv1`.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// Whose outputs it takes.
    pub inputs: Vec<NodeId>,
}

/// A network: nodes in an order in which they can be computed; the last one is the output.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Graph {
    nodes: Vec<Node>,
}

impl Graph {
    /// Appends a node and returns its position.
    ///
    /// # Panics
    /// If an input comes later, or the number of inputs is not the layer's: a mistake in a network's definition.
    pub fn add(&mut self, name: impl Into<String>, layer: Layer, inputs: &[NodeId]) -> NodeId {
        let expected = match layer {
            Layer::Input => 0,
            Layer::Add => 2,
            _ => 1,
        };
        assert_eq!(inputs.len(), expected, "{layer:?} takes {expected} inputs");
        assert!(inputs.iter().all(|&i| i < self.nodes.len()), "an input must come before its use");
        self.nodes.push(Node { name: name.into(), layer, inputs: inputs.to_vec() });
        self.nodes.len() - 1
    }

    /// All nodes in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that read the result of `id`, in order.
    pub fn readers(&self, id: NodeId) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().filter(move |(_, node)| node.inputs.contains(&id))
    }

    /// The nodes with weights, in order.
    pub fn weighted(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| n.layer.has_weight())
    }

    /// The nodes that read an activation without multiplying it by weights: residual sums (their second input) and
    /// pools, in order.
    pub fn activations(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|n| matches!(n.layer, Layer::Add | Layer::GlobalAvgPool))
    }

    /// Fresh parameters: convolutions normal with variance `2 / fan_in` (He et al. 2015), linear layers uniform
    /// in `+-1/sqrt(fan_in)`, batch norms the identity. Each tensor draws from its own stream of `seed`.
    ///
    /// # Errors
    /// If two nodes have the same name.
    pub fn init(&self, seed: u64) -> Result<Params> {
        let mut params = Params::default();
        for (stream, node) in self.nodes.iter().enumerate() {
            let mut rng = Rng::at(seed, Purpose::Init, 0, stream);
            let name = |suffix: &str| format!("{}.{suffix}", node.name);
            match node.layer {
                Layer::Conv2d { c, o, kernel, .. } => {
                    let std = (2.0 / (c * kernel * kernel) as f32).sqrt();
                    let w = Tensor::from_fn([o, kernel, kernel, c], |_| std * rng.normal());
                    params.push(name("weight"), Role::Weight, w)?;
                }
                Layer::Linear { i, o } => {
                    let bound = 1.0 / (i as f32).sqrt();
                    let mut uniform = |_: usize| bound * (2.0 * rng.uniform() - 1.0);
                    params.push(name("weight"), Role::Weight, Tensor::from_fn([o, i], &mut uniform))?;
                    params.push(name("bias"), Role::Bias, Tensor::from_fn([o], &mut uniform))?;
                }
                Layer::BatchNorm { c } => {
                    params.push(name("weight"), Role::Norm, Tensor::full([c], 1.0))?;
                    params.push(name("bias"), Role::Norm, Tensor::zeros([c]))?;
                    params.push(name("running_mean"), Role::Running, Tensor::zeros([c]))?;
                    params.push(name("running_var"), Role::Running, Tensor::full([c], 1.0))?;
                }
                _ => {}
            }
        }
        Ok(params)
    }
}

#[cfg(test)]
mod tests;
