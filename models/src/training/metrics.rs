//! What training says of itself: the sums of its steps, and a line for each epoch.

use serde::{Deserialize, Serialize};

/// Result of one or more training steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Sum of the losses, each times the images of its batch.
    pub loss: f64,
    /// Images classified correctly before the update.
    pub correct: usize,
    /// Images seen.
    pub images: usize,
}

impl Tally {
    /// Takes in the result of another step.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// Mean loss per image.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Share of correct images, in percent.
    pub fn top1(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }
}

/// What is known after an epoch: one line of a run's `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochMetrics {
    /// From 1.
    pub epoch: usize,
    /// Steps since the beginning.
    pub step: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Accuracy in training, percent.
    pub train_top1: f64,
    /// Accuracy on the images that epochs are compared on, percent: what [`Watch::evaluate`](super::Watch::evaluate) said of
    /// the test images, or of those held out.
    pub test_top1: f64,
    /// Last learning rate.
    pub lr: f64,
    /// Training speed.
    pub images_per_s: f64,
    /// Of the training, without the measurement; less than the whole epoch's if the run was resumed within it.
    #[serde(default)]
    pub seconds: f64,
}
