//! The fast storey: the same network, computed with less memory traffic and with vectors. Nothing here is needed to
//! understand what a network computes; every file names the plain function it must equal, and a test holds it to it.
//!
//! 1. [`fuse`](fuse()) rewrites a [`Graph`](crate::Graph) into steps; [`Fused`] runs them, in training too.
//! 2. `conv2d`: convolutions by three algorithms; `batch_norm`: in two passes, with what follows it.
//! 3. `conv_norm`: both at once, as one operation of the training pass.

mod batch_norm;
mod conv2d;
mod conv_norm;
mod fuse;
mod graph;
mod run;

pub use batch_norm::{batch_norm, batch_norm_relu};
pub use conv_norm::{ConvNorm, conv_norm};
pub use conv2d::{Algorithm, Conv2dGrads, conv2d, conv2d_backward, conv2d_forward};
pub use fuse::{Norm, Residual, Step, StepOp, fuse, norm_before};
pub use run::Fused;
