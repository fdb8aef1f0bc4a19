//! Part II: integers that infer.
//!
//! Read in this order:
//! 1. [`uniform`]: what a code is (eq 1, 2, 3), the grid, the scale, the zero point and its sign.
//! 2. [`entry`]: the same for whole tensors, [`linear_quantize`] and [`linear_dequantize`].
//! 3. [`scale`]: where the scale comes from: symmetric, heuristic, SAWB, percentile.
//! 4. [`analysis`]: how wrong the result is: MSE, bias and its two parts, SQNR.
//! 5. [`integer`]: the layers in integers, and on top of them alone the quantized layers (eq 6).
//! 6. [`kernel`]: the micro-kernels under the integer layers, one file per instruction set.

pub mod analysis;
pub mod entry;
pub mod int_tensor;
pub mod integer;
pub mod kernel;
pub mod scale;
pub mod uniform;

pub use engine::{Error, Result};
pub use entry::{
    Mode, get_scale, get_scales, linear_dequantize, linear_quantize, reset_scale_and_zero_point,
    reset_scales_and_zero_points,
};
pub use int_tensor::{Code, IntTensor};
pub use integer::{
    Accumulators, Activation, PackedWeights, integer_conv2d, integer_linear, quantize_bias, quantized_conv2d,
    quantized_linear,
};
pub use scale::ScaleRule;
pub use uniform::{Granularity, Grid, QParams};
