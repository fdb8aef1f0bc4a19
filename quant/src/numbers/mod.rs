//! Numbers and their codes.
//!
//! 1. [`uniform`]: what a code is (eq 1, 2, 3), the grid, the scale, the zero point and its sign.
//! 2. [`int_tensor`] and [`entry`]: the same for whole tensors; [`round_slice`] is its fast inner loop.
//! 3. [`analysis`]: how wrong the result is.

pub mod analysis;
pub mod entry;
pub mod int_tensor;
pub mod round_slice;
mod stored;
pub mod uniform;
