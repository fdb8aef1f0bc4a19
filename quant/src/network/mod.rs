//! What makes integers of a whole network.
//!
//! 1. [`widths`]: bits of weights and activations, `W4A8`.
//! 2. [`plan`]: which layer gets how many.
//! 3. [`config`]: what is chosen before anything is measured.
//! 4. [`ranges`]: what calibration or training finds out about the activations.
//! 5. [`quantization`]: all of it, and from it the quantizer of every weight.

pub mod config;
pub mod plan;
pub mod quantization;
pub mod ranges;
pub mod widths;

pub use config::QuantConfig;
pub use plan::{Plan, Policy, RESIDUAL_BITS};
pub use quantization::Quantization;
pub use ranges::Ranges;
pub use widths::Widths;
