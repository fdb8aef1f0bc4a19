//! Stochastic gradient descent: the update rule, learning-rate schedules, and an average of the weights.

mod ema;
mod schedule;
mod sgd;

pub use ema::Ema;
pub use schedule::{Decay, Schedule};
pub use sgd::Sgd;
