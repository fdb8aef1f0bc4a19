//! Training: one step of SGD in floats or under fake quantization, and evaluation.

mod qat;
mod trainer;

pub use qat::QatTrainer;
pub use trainer::{Evaluation, Progress, Teacher, Trainer, evaluate};
