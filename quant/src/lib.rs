//! Part II: integers that infer.
//!
//! Read in this order:
//! 1. [`uniform`]: what a code is (eq 1, 2, 3), the grid, the scale, the zero point and its sign.
//! 2. [`entry`]: the same for whole tensors, [`linear_quantize`] and [`linear_dequantize`]; [`round_slice`] is its fast
//!    inner loop.
//! 3. [`scale`]: where the scale comes from: symmetric, heuristic, SAWB, percentile.
//! 4. [`analysis`]: how wrong the result is: MSE, bias and its two parts, SQNR.
//! 5. [`observer`]: the range of activations, which are seen a batch at a time.
//! 6. [`fake_quantize`]: rounding inside float training, and its two straight-through estimators.
//!    [`learned_step`] and [`learned_steps`]: step sizes that are trained (LSQ, PACT).
//! 7. [`integer`]: the layers in integers, and on top of them alone the quantized layers (eq 6).
//! 8. [`kernel`]: the micro-kernels under the integer layers, one file per instruction set.
//! 9. [`widths`], [`policy`] and [`mixed`]: which layer gets how many bits.
//! 10. [`hook`]: all of it applied to a network: calibrate, fake-quantize, run in integers.
//! 11. [`simulate`]: the integers in exact floats, for any width.
//! 12. [`requantize`] and [`int_graph`]: the network without a float between image and logits (eq 7).
//! 13. [`pipeline`]: all of it in five lines, for any network.

pub mod analysis;
mod calibrate;
pub mod entry;
pub mod equalize;
pub mod fake_quantize;
pub mod hook;
pub mod int_graph;
pub mod int_tensor;
pub mod integer;
pub mod kernel;
pub mod learned_step;
pub mod learned_steps;
pub mod mixed;
pub mod observer;
pub mod pipeline;
pub mod policy;
pub mod requantize;
pub mod round_slice;
pub mod rounding;
pub mod scale;
pub mod simulate;
pub mod uniform;
pub mod widths;

pub use calibrate::{CalibrateHook, FiniteHook, check_finite};
pub use engine::{Error, Result};
pub use entry::{
    Mode, get_scale, get_scales, linear_dequantize, linear_quantize, reset_scale_and_zero_point,
    reset_scales_and_zero_points,
};
pub use fake_quantize::{Ste, fake_quantize};
pub use hook::{FakeQuantHook, IntegerHook, Ranges};
pub use int_tensor::{Code, IntTensor};
pub use integer::{
    Accumulators, Activation, PackedWeights, integer_conv2d, integer_linear, quantize_bias, quantized_conv2d,
    quantized_linear,
};
pub use learned_step::{StepGradient, StepRule};
pub use learned_steps::LearnedSteps;
pub use observer::{Histogram, MinMax, MovingAverage, Observer, Range};
pub use pipeline::{ActivationRule, Correction, Quantization, Quantized, Quantizer, Reference, Sequence, Step};
pub use policy::{Plan, Policy, QuantConfig};
pub use scale::ScaleRule;
pub use simulate::SimulateHook;
pub use uniform::{Granularity, Grid, QParams};
pub use widths::Widths;
