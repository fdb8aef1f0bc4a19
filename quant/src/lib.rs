//! Part II: integers that infer.
//!
//! Read in this order:
//! 1. [`numbers`]: what a code is (eq 1, 2, 3), for one number and for tensors; how wrong the result is.
//! 2. [`scale`]: where the scale comes from: symmetric, heuristic, SAWB, percentile.
//! 3. [`observer`]: the range of activations, which are seen a batch at a time.
//! 4. [`training`]: rounding inside float training, straight-through estimators, learned steps and widths.
//! 5. [`integer`]: the layers in integers, and on top of them alone the quantized layers (eq 6).
//! 6. [`network`]: which layer gets how many bits, and what makes integers of a whole network; [`mixed`] searches for
//!    the widths.
//! 7. [`hooks`]: all of it applied to a network: observe, fake-quantize, simulate, run in integers.
//! 8. [`pipeline`]: the same in five lines, for any network, with corrections by their names: [`equalize`] moves factors
//!    between layers, [`rounding`] learns weights from a few images without labels.
//! 9. [`requantize`] and [`int_graph`]: the network without a float between image and logits (eq 7).
//!    [`coding`] stores its weights in as many bits as they are worth.
//! 10. [`kernel`]: the micro-kernels under the integer layers, one file per instruction set.
//!
//! The plain storey is 1 to 9; speed lives in [`numbers::round_slice`], [`kernel`] and `int_graph::executor`, each of whose
//! files names the plain function that it equals.

pub mod coding;
pub mod equalize;
pub mod hooks;
pub mod int_graph;
pub mod integer;
pub mod kernel;
pub mod mixed;
pub mod network;
pub mod numbers;
pub mod observer;
pub mod pipeline;
pub mod requantize;
pub mod rounding;
pub mod scale;
pub mod training;

pub use engine::{Error, Result};
pub use hooks::{
    CalibrateHook, FakeQuantHook, FiniteHook, IntegerHook, ObserveHook, SimulateHook, check_finite,
};
pub use integer::{
    Accumulators, Activation, PackedWeights, integer_conv2d, integer_linear, quantize_bias, quantized_conv2d,
    quantized_linear,
};
pub use network::{LayerBits, Plan, Policy, QuantConfig, Quantization, Ranges, Widths};
pub use numbers::entry::{
    Symmetry, get_scale, get_scales, linear_dequantize, linear_quantize, reset_scale_and_zero_point,
    reset_scales_and_zero_points,
};
pub use numbers::int_tensor::{Code, IntTensor};
pub use numbers::uniform::{Granularity, Grid, QParams};
pub use observer::{Histogram, MinMax, MovingAverage, Observer, Range};
pub use pipeline::{
    ActivationRule, Correction, Effort, Quantized, Quantizer, Reference, Sequence, Step, reestimate,
};
pub use scale::ScaleRule;
pub use training::fake_quantize::{Ste, fake_quantize};
pub use training::learned_step::{StepGradient, StepRule};
pub use training::learned_steps::{LearnedSteps, StepDomain};
pub use training::learned_width::{LearnedWidth, LearnedWidths};
