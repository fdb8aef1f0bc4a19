//! What somebody who runs a [`Fit`](super::Fit) does meanwhile: measure, show, save, stop.

use super::{EpochMetrics, Tally};
use crate::{Checkpoint, Error, Result};

/// The other side of a training loop. Only [`evaluate`](Self::evaluate) must be there; a function
/// `|learner| -> Result<f64>` is a watch that does nothing else.
pub trait Watch<L> {
    /// Of measuring and saving.
    type Error: From<Error>;

    /// Training begins, or goes on, at step `first` of the `batches` of `epoch`, all from 0.
    fn begin(&mut self, epoch: usize, first: usize, batches: usize) {
        let _ = (epoch, first, batches);
    }

    /// `done` steps of the epoch are behind; `tally` sums them up.
    fn step(&mut self, done: usize, tally: &Tally) {
        let _ = (done, tally);
    }

    /// Whether to save and stop after this step.
    fn stopping(&self) -> bool {
        false
    }

    /// The accuracy after an epoch, percent.
    ///
    /// # Errors
    /// If it cannot be measured.
    fn evaluate(&mut self, learner: &L) -> Result<f64, Self::Error>;

    /// An epoch has come to its end.
    ///
    /// # Errors
    /// If what is kept of it cannot be written.
    fn epoch(&mut self, learner: &L, metrics: &EpochMetrics) -> Result<(), Self::Error> {
        let _ = (learner, metrics);
        Ok(())
    }

    /// The state to [go on](super::Fit::resume) from; it replaces the one before.
    ///
    /// # Errors
    /// If it cannot be written.
    fn save(&mut self, state: Checkpoint) -> Result<(), Self::Error> {
        let _ = state;
        Ok(())
    }
}

impl<L, F: FnMut(&L) -> Result<f64>> Watch<L> for F {
    type Error = Error;

    fn evaluate(&mut self, learner: &L) -> Result<f64> {
        self(learner)
    }
}
