//! The operations: one per file, each with its equation, a plain forward function, the function that records
//! it on the tape, the backward pass, a naive reference and tests.

mod add;
mod avg_pool;
mod batch_norm;
mod conv2d;
mod conv_norm;
mod cross_entropy;
mod distillation;
#[cfg(test)]
pub(crate) mod gradient_check;
mod input_map;
mod linear;
mod relu;
mod subsample_pad;

pub use add::add;
pub use avg_pool::{global_avg_pool, global_avg_pool_forward};
pub use batch_norm::{BatchNormMode, BatchStats, batch_norm, batch_norm_relu};
pub use conv_norm::{ConvNorm, conv_norm};
pub use conv2d::{
    Algorithm, Conv2dGrads, Conv2dShape, conv2d, conv2d_backward, conv2d_backward_ref, conv2d_forward,
    conv2d_ref,
};
pub use cross_entropy::{accuracy, cross_entropy, softmax};
pub use distillation::{Distillation, distill};
pub use input_map::InputMap;
pub use linear::{linear, linear_forward};
pub use relu::relu;
pub use subsample_pad::subsample_pad;
