//! Training: one step of SGD in floats or under fake quantization, the epochs around it, evaluation. None of it knows
//! which network it trains.
//!
//! 1. [`Trainer`]: forward, loss, backward, update; [`Teacher`] for those that learn from another network too.
//! 2. [`QatTrainer`]: the same step under [fake quantization](quant::training::fake_quantize).
//! 3. [`Fit`]: the epochs, resumable to the same bits; [`Watch`] is what happens beside them.
//! 4. [`evaluate`]: how often the network is right.

mod evaluation;
mod fit;
mod learner;
mod metrics;
mod qat;
mod teacher;
mod trainer;
mod watch;

pub use evaluation::{Evaluation, evaluate};
pub use fit::{Ended, Epochs, Fit};
pub use learner::Learner;
pub use metrics::{EpochMetrics, Tally};
pub use qat::QatTrainer;
pub use teacher::Teacher;
pub use trainer::Trainer;
pub use watch::Watch;
