//! Quantization-aware training from a trained network: epochs, evaluation in integers, saving, resuming.
//!
//! ```text
//! FOLDER/
//!     metrics.jsonl                 one line an epoch
//!     state.safetensors             where the run stands
//!     ResNet20_W4A4.safetensors     the best epoch's network
//!     ResNet20_W4A4.shadow.safetensors     its float weights, ranges in the metadata
//!     last/                         the same two of the last epoch
//! ```

mod run;

use std::path::PathBuf;

use anyhow::Result;
use models::{QuantizedNetwork, Teacher};
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::plot::{Series, lines, stack};

pub use run::{Commands, train};

/// How to train.
#[derive(Clone, Debug)]
pub struct Training {
    /// Passes over the training images.
    pub epochs: usize,
    /// Images of a step.
    pub batch: usize,
    /// First learning rate; half a cosine to zero follows.
    pub lr: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Label smoothing.
    pub smoothing: f64,
    /// Decay of the average of the weights; 0: none.
    pub ema: f64,
    /// Save the state every so many steps too; 0: only after each epoch.
    pub checkpoint_every: usize,
    /// A network to learn from beside the labels.
    pub teacher: Option<Teacher>,
}

impl Training {
    /// Refuses settings without meaning.
    ///
    /// # Errors
    /// Naming the flag.
    pub fn check(&self) -> Result<()> {
        if self.epochs == 0 || self.batch == 0 {
            return Err(Failure::Usage("--epochs and --batch must be at least 1".into()).into());
        }
        for (flag, value, most) in [
            ("--lr", self.lr, 1e3),
            ("--weight-decay", self.weight_decay, 1e3),
            ("--smoothing", self.smoothing, 1.0),
            ("--ema", self.ema, 1.0),
        ] {
            if !(0.0..=most).contains(&value) {
                let text = format!("{flag} {value}: expected a number from 0 to {most}");
                return Err(Failure::Usage(text).into());
            }
        }
        Ok(())
    }
}

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Metrics {
    /// From 1.
    pub epoch: usize,
    /// Steps since the beginning.
    pub step: usize,
    /// Mean training loss.
    pub loss: f64,
    /// Accuracy in training, percent.
    pub train_top1: f64,
    /// Accuracy of the integer layers on the test images, percent.
    pub test_top1: f64,
    /// Last learning rate.
    pub lr: f64,
    /// Training speed.
    pub images_per_s: f64,
}

/// What a finished run has to say.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every epoch.
    pub metrics: Vec<Metrics>,
    /// The network of the best epoch.
    pub best: QuantizedNetwork,
    /// The network of the last epoch.
    pub last: QuantizedNetwork,
    /// Its file.
    pub model: PathBuf,
}

impl Outcome {
    /// Accuracy after the last epoch.
    pub fn top1_last(&self) -> f64 {
        self.metrics.last().map_or(0.0, |m| m.test_top1)
    }

    /// Accuracy after the best epoch, and its number; the earliest of equals.
    pub fn best(&self) -> (f64, usize) {
        best(&self.metrics).map_or((0.0, 0), |m| (m.test_top1, m.epoch))
    }

    /// Median speed of the epochs.
    pub fn images_per_s(&self) -> f64 {
        let mut speeds: Vec<f64> = self.metrics.iter().map(|m| m.images_per_s).collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied().unwrap_or(0.0)
    }

    /// Accuracy and loss by epoch.
    pub fn curve(&self) -> String {
        let series = |name: &str, value: fn(&Metrics) -> f64| {
            Series::new(name, self.metrics.iter().map(|m| (m.epoch as f64, value(m))).collect())
        };
        let top1 = [series("test, in integers", |m| m.test_top1), series("training", |m| m.train_top1)];
        let loss = [series("training loss", |m| m.loss)];
        stack(&[
            lines("Accuracy", "epoch", "top-1, %", &top1),
            lines("Loss", "epoch", "cross entropy", &loss),
        ])
    }
}

fn best(metrics: &[Metrics]) -> Option<&Metrics> {
    metrics.iter().max_by(|a, b| a.test_top1.total_cmp(&b.test_top1).then(b.epoch.cmp(&a.epoch)))
}
