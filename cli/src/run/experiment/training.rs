//! How a quantized network is trained: what the flags of `qat` and the recipes of `table` come to.

use anyhow::Result;
use engine::optim::{Decay, Schedule, Sgd};
use models::{Network, Teacher, Trainer};

use crate::run::exit::Failure;

/// The most of an average that a step may keep: what keeps all of it never learns.
pub const BELOW_ONE: f64 = 0.99999;

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
    /// Last epochs in which batch norms keep their statistics.
    pub frozen_epochs: usize,
    /// Training images on which batch norms are re-estimated before the network is measured or kept; 0: they are not.
    pub reestimate_images: usize,
    /// Widths of weights are learned too, to this end.
    pub size_goal: Option<SizeGoal>,
}

/// What learned widths come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeGoal {
    /// Bytes of all weights.
    pub bytes: usize,
    /// What a KiB more costs, in units of the loss.
    pub price: f32,
}

impl Training {
    /// Refuses settings without meaning.
    ///
    /// # Errors
    /// Naming the flag.
    pub fn check(&self) -> Result<()> {
        for (flag, value) in [("--epochs", self.epochs), ("--batch", self.batch)] {
            if value == 0 {
                return Err(Failure::Usage(format!("{flag} must be at least 1")).into());
            }
        }
        if self.frozen_epochs > self.epochs {
            let text =
                format!("--frozen-epochs {}: there are only {} --epochs", self.frozen_epochs, self.epochs);
            return Err(Failure::Usage(text).into());
        }
        for (flag, value, most) in [
            ("--lr", self.lr, 1e3),
            ("--weight-decay", self.weight_decay, 1e3),
            ("--smoothing", self.smoothing, 0.99),
            ("--ema", self.ema, BELOW_ONE),
        ] {
            if !(0.0..=most).contains(&value) {
                let text = format!("{flag} {value}: expected a number from 0 to {most}");
                return Err(Failure::Usage(text).into());
            }
        }
        Ok(())
    }

    /// `network` with its optimizer.
    pub(super) fn trainer(&self, network: &Network, batches: usize) -> Trainer {
        let schedule = Schedule {
            base: self.lr as f32,
            warmup: 0,
            total: self.epochs * batches,
            decay: Decay::Cosine { end: 0.0 },
        };
        let sgd = Sgd::new(0.9, true, self.weight_decay as f32, false);
        let frozen = self.frozen_epochs > 0;
        Trainer::new(network.graph.clone(), network.params.clone(), sgd, schedule)
            .with_smoothing(self.smoothing as f32)
            .with_ema(self.ema as f32)
            .with_teacher(self.teacher.clone())
            .with_norms_frozen_from(
                frozen.then_some(self.epochs.saturating_sub(self.frozen_epochs) * batches),
            )
    }
}
