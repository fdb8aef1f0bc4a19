//! The parts of the page, one file each. Each draws what the runs hold, or says which command would provide it.

pub mod ablation;
pub mod accuracy;
pub mod configuration;
pub mod confusion;
pub mod front;
pub mod histograms;
pub mod layers;
pub mod mistakes;
pub mod scales;
pub mod sizes;
pub mod training;

/// Said where a part needs a quantized network's file.
const NO_NETWORK: &str = "No run holds the file of a quantized network. `cli ptq` and `cli qat` save one.";
