//! The training loop: epochs of steps, a measurement after each, a state from which it goes on to the same bits.
//!
//! ```text
//! for each epoch                                     FOLDER of the run, kept by a `Watch`
//!     for each batch:   learner.learn(batch)
//!         now and then: watch.save(state)     -----> state.safetensors
//!     watch.evaluate(learner)
//!     watch.epoch(learner, metrics)           -----> metrics.jsonl
//!     watch.save(state)                       -----> state.safetensors
//! ```
//!
//! The state holds the learner's (weights, velocities, averages, learned steps), the sums of the epoch in which it stands,
//! and the metrics of the last whole epoch. The order and the augmentation of the images are functions of seed, epoch and
//! place, so a run that was stopped anywhere and resumed gives the bits of one that was not.

use std::time::Instant;

use super::{EpochMetrics, Learner, Tally, Watch};
use crate::data::loader::{Batch, Loader};
use crate::{Checkpoint, Error, Result};

/// The key of the state that holds the metrics of the last whole epoch.
const LAST_METRICS: &str = "last_metrics";

/// Where the batches of an epoch come from. The same epoch gives the same batches, however often it is asked for.
pub trait Epochs {
    /// Batches of an epoch; at least 1.
    fn batches(&self) -> usize;

    /// Those of `epoch`, both counted from 0, from number `first` on.
    fn epoch_from(&self, epoch: usize, first: usize) -> impl Iterator<Item = Batch>;
}

impl Epochs for Loader {
    fn batches(&self) -> usize {
        Loader::batches(self)
    }

    fn epoch_from(&self, epoch: usize, first: usize) -> impl Iterator<Item = Batch> {
        self.prefetch(epoch, first, 2)
    }
}

/// How [`Fit::run`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// After the last epoch.
    Finished,
    /// As the [`Watch`] wished; the state is saved.
    Stopped,
}

/// A learner on its way through the epochs.
#[derive(Clone, Debug)]
pub struct Fit<L> {
    /// What is trained.
    pub learner: L,
    /// Passes over the images.
    pub epochs: usize,
    /// Save the state every so many steps too; 0: only after each epoch.
    pub checkpoint_every: usize,
    /// Of the steps of this epoch so far.
    tally: Tally,
    /// Of the last whole epoch.
    last: Option<EpochMetrics>,
}

impl<L: Learner> Fit<L> {
    /// `learner` at its first step, or wherever it stands.
    pub fn new(learner: L, epochs: usize) -> Self {
        Self { learner, epochs, checkpoint_every: 0, tally: Tally::default(), last: None }
    }

    /// Saves the state every `steps` steps too.
    #[must_use]
    pub fn with_checkpoints_every(self, steps: usize) -> Self {
        Self { checkpoint_every: steps, ..self }
    }

    /// The metrics of the last whole epoch.
    pub fn last(&self) -> Option<&EpochMetrics> {
        self.last.as_ref()
    }

    /// Trains to the end of the last epoch, or until `watch` is [stopping](Watch::stopping).
    ///
    /// # Errors
    /// If the run diverges ([`Error::Training`]), or `watch` fails.
    pub fn run<W: Watch<L>>(&mut self, images: &impl Epochs, watch: &mut W) -> Result<Ended, W::Error> {
        while self.learner.steps() < self.epochs * images.batches() {
            if self.epoch(images, watch)? == Ended::Stopped {
                return Ok(Ended::Stopped);
            }
        }
        Ok(Ended::Finished)
    }

    /// Trains to the end of the epoch in which the run stands, measures, saves.
    fn epoch<W: Watch<L>>(&mut self, images: &impl Epochs, watch: &mut W) -> Result<Ended, W::Error> {
        let batches = images.batches();
        let (epoch, first) = (self.learner.steps() / batches, self.learner.steps() % batches);
        let (start, before) = (Instant::now(), self.tally.images);
        let mut rate = 0.0;
        watch.begin(epoch, first, batches);
        // book: epoch
        for batch in images.epoch_from(epoch, first) {
            rate = self.learner.rate();
            let progress = self.learner.learn(batch).map_err(|e| Error::Training(Box::new(e)))?;
            self.tally.add(progress);
            let step = self.learner.steps();
            watch.step(step - epoch * batches, &self.tally);
            if step.is_multiple_of(batches) {
                break;
            }
            let due = self.checkpoint_every > 0 && step.is_multiple_of(self.checkpoint_every);
            let stopping = watch.stopping();
            if stopping || due {
                watch.save(self.state())?;
            }
            if stopping {
                return Ok(Ended::Stopped);
            }
        }
        // book end
        let seconds = start.elapsed().as_secs_f64().max(1e-9); // the clock of a suspended machine may stand still
        let metrics = EpochMetrics {
            epoch: epoch + 1,
            step: self.learner.steps(),
            loss: self.tally.mean_loss(),
            train_top1: self.tally.top1(),
            test_top1: watch.evaluate(&self.learner)?,
            lr: f64::from(rate),
            images_per_s: (self.tally.images - before) as f64 / seconds,
            seconds,
        };
        watch.epoch(&self.learner, &metrics)?;
        self.tally = Tally::default();
        self.last = Some(metrics);
        watch.save(self.state())?;
        let stopped = watch.stopping() && epoch + 1 < self.epochs;
        Ok(if stopped { Ended::Stopped } else { Ended::Finished })
    }

    /// Everything that the rest of the run depends on.
    fn state(&self) -> Checkpoint {
        let mut state = self.learner.state();
        // `{}` of an `f64` reads back to the same bits.
        state.set("epoch_loss", self.tally.loss);
        state.set("epoch_correct", self.tally.correct);
        state.set("epoch_images", self.tally.images);
        if let Some(last) = &self.last {
            state.set(LAST_METRICS, serde_json::to_string(last).expect("numbers are JSON"));
        }
        state
    }

    /// Goes on from a state that [`Watch::save`] was given.
    ///
    /// # Errors
    /// If it belongs to another network, or is damaged.
    pub fn resume(&mut self, state: Checkpoint) -> Result<()> {
        self.tally = Tally {
            loss: state.get("epoch_loss")?.unwrap_or(0.0),
            correct: state.get("epoch_correct")?.unwrap_or(0),
            images: state.get("epoch_images")?.unwrap_or(0),
        };
        let broken =
            |e| Error::malformed(&state.path, format!("metadata `{LAST_METRICS}`: {e}; start the run anew"));
        let json = state.metadata.get(LAST_METRICS);
        self.last = json.map(|json| serde_json::from_str(json)).transpose().map_err(broken)?;
        self.learner.restore(state)
    }
}

#[cfg(test)]
mod tests;
