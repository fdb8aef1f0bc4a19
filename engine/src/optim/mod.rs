//! Stochastic gradient descent and Adam: the update rules, learning-rate schedules, and an average of the weights.

mod adam;
mod ema;
mod schedule;
mod sgd;

pub use adam::Adam;
pub use ema::Ema;
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;
