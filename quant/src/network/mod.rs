//! What makes integers of a whole network.
//!
//! 1. [`widths`]: bits of weights and activations, `W4A8`.
//! 2. [`plan`]: which layer gets how many.
//! 3. [`layer_bits`]: exceptions from that for single layers, `fc=8`.
//! 4. [`config`]: what is chosen before anything is measured.
//! 5. [`ranges`]: what calibration or training finds out about the activations.
//! 6. [`quantization`]: all of it, and from it the quantizer of every weight.

pub mod config;
pub mod layer_bits;
pub mod plan;
pub mod quantization;
pub mod ranges;
pub mod widths;

pub use config::QuantConfig;
pub use layer_bits::LayerBits;
pub use plan::{Plan, Policy, RESIDUAL_BITS};
pub use quantization::Quantization;
pub use ranges::Ranges;
pub use widths::Widths;
