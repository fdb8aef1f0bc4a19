//! Part I: floats that learn.
//!
//! A small tensor engine, written to be read: tensors, a tape that differentiates, the operations of a
//! residual network, and stochastic gradient descent. Reading order: [`Tensor`], [`Tape`], [`ops`] (each
//! operation's file holds its equation, forward, backward, naive reference and test), [`Graph`] (the network
//! written once) with its [`Hook`]s, [`optim`], and last the fast kernels in [`kernel`].
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

pub mod gemm;
pub mod im2col;
pub mod kernel;
pub mod ops;
pub mod optim;

pub use arena::{clear as clear_arena, kept_bytes as arena_bytes};
pub use error::{Error, Result};
pub use graph::{Float, Forward, Graph, Hook, Layer, Mode, Node, NodeId};
pub use inference::Inference;
pub use params::{Param, Params, Role};
pub use shape::Shape;
pub use tape::{Context, Op, Tape, Var};
pub use tensor::Tensor;
