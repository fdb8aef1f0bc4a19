//! Rounding that is learned after training, from a few images without labels.
//!
//! 1. [`rectified`]: the variable between down and up, and what drives it to one of the two (AdaRound).
//! 2. [`soft`]: a weight under that variable, on the tape.
//! 3. [`drop`](mod@drop): activations that stay float now and then (QDrop).
//! 4. [`units`]: the parts of a network that are reconstructed one after another (BRECQ).
//! 5. [`method`]: the published methods as settings.
//! 6. [`reconstruct`](mod@reconstruct): the loop.

mod cache;
pub mod drop;
mod hook;
mod learner;
pub mod method;
pub mod reconstruct;
pub mod rectified;
pub mod soft;
pub mod units;

pub use method::{Method, UnitRule, WeightRule};
pub use reconstruct::{Report, reconstruct};
