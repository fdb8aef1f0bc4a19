//! What can be trained, step by step.

use super::Tally;
use crate::data::loader::Batch;
use crate::{Checkpoint, Result};

/// What a [`Fit`](super::Fit) trains: [`Trainer`](super::Trainer) in floats, [`QatTrainer`](super::QatTrainer) under quantization.
pub trait Learner {
    /// One step on one batch.
    ///
    /// # Errors
    /// If the run has diverged.
    fn learn(&mut self, batch: Batch) -> Result<Tally>;

    /// Steps taken.
    fn steps(&self) -> usize;

    /// The learning rate of the next step.
    fn rate(&self) -> f32;

    /// Everything that the steps to come depend on.
    fn state(&self) -> Checkpoint;

    /// Restores what [`state`](Self::state) kept.
    ///
    /// # Errors
    /// If it belongs to another network.
    fn restore(&mut self, state: Checkpoint) -> Result<()>;
}
