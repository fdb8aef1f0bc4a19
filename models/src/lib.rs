//! Part III: data and networks.
//!
//! Four wings, by what a reader looks for:
//!
//! 1. [`nets`]: the residual networks, and a network together with how it is quantized.
//! 2. [`data`]: CIFAR-10 and other pictures, their augmentation, batches of an epoch, made-up samples.
//! 3. [`training`]: one step of SGD, with or without quantization; the epochs around it; evaluation.
//! 4. [`formats`]: the files in which networks come and go.

pub mod assets;
pub mod data;
mod error;
pub mod formats;
pub mod nets;
pub mod training;

pub use error::{Error, Result};
pub use formats::checkpoint::Checkpoint;
pub use nets::{Network, QuantizedNetwork, Shortcut, resnet};
pub use training::{
    Ended, EpochMetrics, Evaluation, Fit, Learner, QatTrainer, Tally, Teacher, Trainer, evaluate,
};
