//! The integer-only network: from the bytes of an image to the logits without a float in between.
//!
//! `docs/integer-spec.md` is its specification. It exists three times, and the three agree on every code:
//! - [`lower`](fn@lower) makes an [`IntGraph`] of a trained network: the numbers of the specification and nothing else;
//! - [`reference`](mod@reference) computes it as the specification reads, one number after the other, in wide integers;
//! - [`IntEngine`] computes it fast, on the micro-kernels.
//!
//! A *value* is an activation in integers: `[h, w, c]` codes of up to 16 bits, unsigned, with a zero point `z` (the
//! project's sign: the code of real zero is `-z`). One real activation may exist as several values, when the layers
//! that read it want different grids: 4 bits for the next convolution, 8 for the residual sum. Each is computed from
//! the same sum by its own [`Requantize`], so nothing is ever rounded twice.

pub mod bitpack;
mod coded;
mod executor;
pub mod file;
pub mod lower;
pub mod reference;
mod rounded;
mod validate;

pub use executor::{IntEngine, Workspace};
pub use lower::lower;

use engine::Result;
use serde::{Deserialize, Serialize};

use crate::IntTensor;
use crate::requantize::Requantize;

/// Place of a value in [`IntGraph::values`].
pub type ValueId = usize;

/// An activation in integers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Height, width, channels.
    pub dims: [usize; 3],
    /// Width of a code, 1 to 16.
    pub bits: u32,
    /// `z`; the code of real zero is `-z`.
    pub zero_point: i32,
    /// What one step of the code is worth. For people and for export: the arithmetic does not read it.
    pub scale: f32,
}

impl Value {
    /// Bytes of a code: 1 up to 8 bits, else 2.
    pub fn code_bytes(&self) -> usize {
        self.bits.div_ceil(8) as usize
    }

    /// The largest code.
    pub fn largest(&self) -> i32 {
        (1 << self.bits) - 1
    }

    /// Number of codes.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One step of the network.
#[derive(Clone, Debug, PartialEq)]
pub struct IntNode {
    /// The name of the layer in the float network.
    pub name: String,
    /// What it computes.
    pub op: Op,
}

/// What a node computes; the values it reads come first.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `y[i][j][c] = table[c][pixel]`: the image's bytes, normalised and quantized.
    Lookup {
        /// What it makes.
        y: ValueId,
        /// One table for each channel.
        table: Vec<[u8; 256]>,
    },
    /// `acc = sum (x_int + z_x) w_int` over the window, then eq 7 for each output.
    Conv2d {
        /// What it reads.
        x: ValueId,
        /// `[O, KH, KW, C]`.
        w: IntTensor<i8>,
        /// Width of a weight, 0 to 8; with none, all are 0.
        w_bits: u32,
        /// Step of the window.
        stride: usize,
        /// Pixels of real zero around the image.
        padding: usize,
        /// What is added to the sum.
        residual: Option<ValueId>,
        /// What it makes: one value or more.
        outputs: Vec<(ValueId, Requantize)>,
    },
    /// Every `stride`-th pixel, between `lo` and whatever is missing above channels of real zero.
    SubsamplePad {
        /// What it reads.
        x: ValueId,
        /// What it makes; of the same grid.
        y: ValueId,
        /// Step between kept pixels.
        stride: usize,
        /// Channels of zero below.
        lo: usize,
    },
    /// `acc = sum x_int` over all pixels, then eq 7.
    GlobalAvgPool {
        /// What it reads.
        x: ValueId,
        /// What it makes: one value or more.
        outputs: Vec<(ValueId, Requantize)>,
    },
    /// `logit = sum (x_int + z_x) w_int + b_int`: the network's result, at scale `s_x s_w` (eq 6).
    Linear {
        /// What it reads.
        x: ValueId,
        /// `[O, I]`.
        w: IntTensor<i8>,
        /// Width of a weight, 0 to 8.
        w_bits: u32,
        /// One per class.
        b_int: Vec<i32>,
        /// `s_x s_w` of each class: one step of the logit. Classes with equal steps can be compared as they are.
        logit_scale: Vec<f32>,
    },
}

impl Op {
    /// Its name, as in the model file.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Lookup { .. } => "lookup",
            Self::Conv2d { .. } => "conv2d",
            Self::SubsamplePad { .. } => "subsample_pad",
            Self::GlobalAvgPool { .. } => "global_avg_pool",
            Self::Linear { .. } => "linear",
        }
    }

    /// The values a node writes.
    pub fn outputs(&self) -> impl Iterator<Item = ValueId> {
        let (one, many) = match self {
            Self::Lookup { y, .. } | Self::SubsamplePad { y, .. } => (Some(*y), &[][..]),
            Self::Conv2d { outputs, .. } | Self::GlobalAvgPool { outputs, .. } => (None, &outputs[..]),
            Self::Linear { .. } => (None, &[][..]),
        };
        one.into_iter().chain(many.iter().map(|(y, _)| *y))
    }

    /// The values a node reads.
    pub fn inputs(&self) -> Vec<ValueId> {
        match self {
            Self::Lookup { .. } => vec![],
            Self::Conv2d { x, residual, .. } => std::iter::once(*x).chain(*residual).collect(),
            Self::SubsamplePad { x, .. } | Self::GlobalAvgPool { x, .. } | Self::Linear { x, .. } => vec![*x],
        }
    }

    /// Its weights and their width.
    pub fn weights(&self) -> Option<(&IntTensor<i8>, u32)> {
        match self {
            Self::Conv2d { w, w_bits, .. } | Self::Linear { w, w_bits, .. } => Some((w, *w_bits)),
            _ => None,
        }
    }
}

/// The network: its first node is the [`Op::Lookup`], its last the [`Op::Linear`]; each reads what came before.
/// Every `IntGraph` has been checked (see [`IntGraph::new`]).
#[derive(Clone, Debug, PartialEq)]
pub struct IntGraph {
    values: Vec<Value>,
    nodes: Vec<IntNode>,
}

impl IntGraph {
    /// A network of these values and nodes, after checking everything that the engine takes for granted: shapes, order,
    /// grids, and that no sum can overflow.
    ///
    /// # Errors
    /// Naming the first node that breaks a rule of the specification.
    pub fn new(values: Vec<Value>, nodes: Vec<IntNode>) -> Result<Self> {
        let graph = Self { values, nodes };
        graph.validate()?;
        Ok(graph)
    }

    /// All values.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// All nodes, in an order in which they can be computed.
    pub fn nodes(&self) -> &[IntNode] {
        &self.nodes
    }

    /// Height, width and channels of the images it takes.
    pub fn image(&self) -> [usize; 3] {
        match self.nodes[0].op {
            Op::Lookup { y, .. } => self.values[y].dims,
            _ => unreachable!("checked: the first node is a lookup"),
        }
    }

    /// `s_x s_w` of each class.
    pub fn logit_scale(&self) -> &[f32] {
        match &self.nodes[self.nodes.len() - 1].op {
            Op::Linear { logit_scale, .. } => logit_scale,
            _ => unreachable!("checked: the last node is linear"),
        }
    }

    /// The logits in real numbers: `logit * s_x s_w`.
    pub fn real_logits(&self, logits: &[i32]) -> Vec<f32> {
        logits.iter().zip(self.logit_scale()).map(|(&l, &s)| (f64::from(l) * f64::from(s)) as f32).collect()
    }

    /// Multiply-adds of each node for one image, padding's included.
    pub fn multiply_adds(&self) -> Vec<usize> {
        let of = |op: &Op| match op {
            Op::Conv2d { w, w_bits, outputs, .. } if *w_bits > 0 => {
                let [h, width, _] = self.values[outputs[0].0].dims;
                h * width * w.len()
            }
            Op::Linear { w, .. } => w.len(),
            _ => 0,
        };
        self.nodes.iter().map(|node| of(&node.op)).collect()
    }

    /// Bytes of the weights at their real widths.
    pub fn weight_bytes(&self) -> usize {
        self.nodes
            .iter()
            .filter_map(|n| n.op.weights())
            .map(|(w, bits)| bitpack::packed_len(w.len(), bits))
            .sum()
    }
}
