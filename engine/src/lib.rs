//! Part I: floats that learn.
//!
//! A small tensor engine, written to be read, in two storeys.
//!
//! *Plain*, in reading order: [`Tensor`]; [`Tape`], which differentiates; [`ops`], where each operation's file holds its
//! equation, forward, backward, naive reference and tests; [`Graph`], the network written once, with its [`Hook`]s and the
//! interpreter [`Graph::forward_plain`]; [`optim`], stochastic gradient descent.
//!
//! *Fast*: [`fast`], which rewrites a graph into fused steps and computes them with the kernels of [`kernel`], and
//! [`Inference`], the same for classifying alone. Each file names the plain function it must equal, and a test holds it
//! to it.
//!
//! Activations are `[N, H, W, C]` and convolution weights `[O, KH, KW, C]`: channels are contiguous, so 16,
//! 32 or 64 of them fill vectors.

mod arena;
mod error;
mod graph;
mod inference;
mod params;
pub mod rng;
mod shape;
mod tape;
mod tensor;

pub mod fast;
pub mod gemm;
pub mod im2col;
pub mod kernel;
pub mod nearest;
pub mod ops;
pub mod optim;

pub use arena::{clear as clear_arena, kept_bytes as arena_bytes};
pub use error::{Error, Result};
pub use graph::{
    Float, Forward, Graph, Hook, Incoming, Input, Layer, LayerQuant, Mode, Node, NodeId, Operands,
};
pub use inference::Inference;
pub use params::{Param, Params, Role};
pub use shape::Shape;
pub use tape::{Op, Record, Tape, Var};
pub use tensor::Tensor;
