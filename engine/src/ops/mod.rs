//! The operations, plain: one per file, each with its equation, a forward function, the function that records it on the
//! tape, the backward pass, a reference by the definition (`_ref`, in `f64`) where the forward function is not that
//! itself, and tests. What computes the same faster is in [`fast`](crate::fast).

mod add;
mod argmax;
mod avg_pool;
mod batch_norm;
mod conv2d;
mod cross_entropy;
mod distillation;
#[cfg(test)]
pub(crate) mod gradient_check;
mod input_map;
mod linear;
mod relu;
mod subsample_pad;

pub use add::add;
pub use argmax::{accuracy, argmax};
pub use avg_pool::{global_avg_pool, global_avg_pool_forward, global_avg_pool_ref};
pub(crate) use batch_norm::check as check_batch_norm;
pub use batch_norm::{BatchNormMode, BatchStats, EPS, batch_norm, batch_norm_ref};
pub use conv2d::{Conv2dShape, conv2d, conv2d_backward_ref, conv2d_ref, extent};
pub use cross_entropy::{cross_entropy, cross_entropy_ref, softmax};
pub use distillation::{Distillation, distill};
pub use input_map::InputMap;
pub use linear::{linear, linear_forward, linear_ref};
pub use relu::relu;
pub use subsample_pad::subsample_pad;
