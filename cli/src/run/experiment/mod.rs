//! What the quantization experiments (`ptq`, `qat`, `table`, `search`) share.
//!
//! 1. [`Setup`]: a float network, a data set, seeded subsets of its images, images held out.
//! 2. [`Recipe`]: everything chosen about a post-training quantization, and its three steps.
//! 3. [`Scores`]: one quantized network, simulated and in integers, side by side.
//! 4. [`Training`]: how a quantized network is trained; [`aware`] trains it, can be stopped, and resumes.
//! 5. [`page`]: the report.
//! 6. [`Pace`]: the same in small, to say beforehand how long it takes.

pub mod aware;
mod held_out;
mod inputs;
mod pace;
pub mod page;
mod recipe;
mod scores;
mod setup;
mod training;
mod widths;

pub use inputs::inputs;
pub use pace::{BASIS, Pace, SMALL, corrected, few, float_bytes};
pub use recipe::{CalibrationSource, Recipe, correction_bars};
pub use scores::{Scores, in_integers};
pub use setup::Setup;
pub use training::{BELOW_ONE, SizeGoal, Training};
pub use widths::{WidthArgs, residual_bits};

/// The name of the file a quantized network is saved to: `ResNet20_W4A4.safetensors`, or `ResNet20_mixed.safetensors` if
/// single layers have other bits than its policy gives them.
pub fn model_name(quantized: &models::QuantizedNetwork) -> String {
    let models::QuantizedNetwork { network, quantization } = quantized;
    let quant::QuantConfig { bits, policy, .. } = quantization.config;
    let is_mixed = quantization.plan.layers() != policy.plan(&network.graph, bits).layers();
    if is_mixed { mixed_name(network) } else { format!("ResNet{}_{bits}.safetensors", network.depth) }
}

/// The file name of a network whose layers differ in their widths.
pub fn mixed_name(network: &models::Network) -> String {
    format!("ResNet{}_mixed.safetensors", network.depth)
}

/// Bytes of a file.
///
/// # Errors
/// If it is not there.
pub fn file_bytes(path: &std::path::Path) -> anyhow::Result<usize> {
    Ok(std::fs::metadata(path).map_err(|e| models::Error::io("open", path, e))?.len() as usize)
}
