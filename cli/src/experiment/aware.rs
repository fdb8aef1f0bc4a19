//! Quantization-aware training from a trained network: epochs, evaluation in integers, saving, resuming.
//!
//! ```text
//! FOLDER/
//!     metrics.jsonl                 one line an epoch
//!     state.safetensors             where the run stands
//!     ResNet20_W4A4.safetensors     the best epoch's network
//!     ResNet20_W4A4.shadow.safetensors     its float weights, ranges in the metadata
//! ```

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use engine::optim::{Decay, Schedule, Sgd};
use models::augment::Augment;
use models::loader::Loader;
use models::saved::shadow_path;
use models::{Checkpoint, Progress as Tally, QatTrainer, QuantizedNetwork, Teacher};
use serde::{Deserialize, Serialize};

use super::{Setup, in_integers, model_name};
use crate::context::Context;
use crate::exit::Failure;
use crate::interrupt;
use crate::plot::{Series, lines, stack};
use crate::progress::Progress;
use crate::run_folder::RunFolder;

/// Where a run stands.
const STATE: &str = "state.safetensors";

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

/// What the user types.
#[derive(Clone, Debug)]
pub struct Commands {
    /// To repeat the run; the model file keeps it.
    pub run: String,
    /// To continue it, shown when Ctrl-C stops it.
    pub resume: String,
}

/// Trains `start` to the end, from the state in `folder` if there is one.
///
/// # Errors
/// If the run diverges, the folder cannot be written to, or Ctrl-C was pressed.
pub fn train(
    context: &Context,
    setup: &Setup,
    start: QuantizedNetwork,
    training: Training,
    folder: &RunFolder,
    commands: &Commands,
) -> Result<Outcome> {
    let images = Loader::training(
        &setup.data.train,
        training.batch,
        setup.network.normalization,
        Augment::STANDARD,
        context.seed,
    )
    .over(setup.train.clone());
    let schedule = Schedule {
        base: training.lr as f32,
        warmup: 0,
        total: training.epochs * images.batches(),
        decay: Decay::Cosine { end: 0.0 },
    };
    let model = folder.path(model_name(setup.network.depth, start.quantization.config.bits));
    let sgd = Sgd::new(0.9, true, training.weight_decay as f32, false);
    let ema = (training.ema > 0.0).then_some(training.ema as f32);
    let mut qat = QatTrainer::new(start, sgd, schedule, training.smoothing as f32, ema);
    qat.trainer.teacher.clone_from(&training.teacher);
    let mut run =
        Run { context, setup, training, folder, qat, images, tally: Tally::default(), commands, model };
    run.restore()?;
    interrupt::handle();
    while run.qat.trainer.step < run.training.epochs * run.images.batches() {
        run.epoch()?;
    }
    run.finish()
}

/// A run in progress.
struct Run<'a> {
    context: &'a Context,
    setup: &'a Setup,
    training: Training,
    folder: &'a RunFolder,
    qat: QatTrainer,
    images: Loader,
    /// Of the steps of this epoch so far.
    tally: Tally,
    commands: &'a Commands,
    model: PathBuf,
}

impl Run<'_> {
    /// Trains to the end of the epoch in which the run stands, evaluates, saves.
    fn epoch(&mut self) -> Result<()> {
        let batches = self.images.batches();
        let (epoch, first) = (self.qat.trainer.step / batches, self.qat.trainer.step % batches);
        let (start, before) = (Instant::now(), self.tally.images);
        let what = format!("epoch {}/{}", epoch + 1, self.training.epochs);
        let progress = Progress::new(self.context, &what, batches);
        progress.set(first);
        let mut lr = 0.0;
        for batch in self.images.prefetch(epoch, first, 2) {
            lr = self.qat.trainer.schedule.rate(self.qat.trainer.step);
            let result = self.qat.step(batch);
            self.tally.add(result.map_err(|e| Failure::Run(format!("training: {e}")))?);
            let step = self.qat.trainer.step;
            progress.message(format!("loss {:.4} top-1 {:.2}%", self.tally.mean_loss(), self.tally.top1()));
            progress.set(step - epoch * batches);
            let in_mid_epoch = !step.is_multiple_of(batches);
            if interrupt::requested() && in_mid_epoch {
                self.save()?;
                return Err(interrupt::stopped(&self.commands.resume).into());
            }
            let every = self.training.checkpoint_every;
            if in_mid_epoch && every > 0 && step.is_multiple_of(every) {
                self.save()?;
            }
        }
        drop(progress);
        let seconds = start.elapsed().as_secs_f64();
        let quantized = self.qat.quantized();
        let test = in_integers(self.context, &quantized, &self.setup.test)?;
        let metrics = Metrics {
            epoch: epoch + 1,
            step: self.qat.trainer.step,
            loss: self.tally.mean_loss(),
            train_top1: self.tally.top1(),
            test_top1: test.top1(),
            lr: f64::from(lr),
            images_per_s: (self.tally.images - before) as f64 / seconds,
        };
        self.context.note(format_args!(
            "{what:<12} loss {:.4}  train {:.2}%  test in integers {:.2}%  lr {:.5}  {:.0} images/s",
            metrics.loss, metrics.train_top1, metrics.test_top1, metrics.lr, metrics.images_per_s,
        ));
        if best(&self.metrics()?).is_none_or(|best| metrics.test_top1 > best.test_top1) {
            let facts = [
                ("epoch", metrics.epoch.to_string()),
                ("seed", self.context.seed.to_string()),
                ("test_accuracy", format!("{:.2}", metrics.test_top1)),
                ("test_images", test.images.to_string()),
                ("command", self.commands.run.clone()),
            ];
            quantized.save(&self.model, &facts)?;
        }
        self.folder.append_metrics(&metrics)?;
        self.tally = Tally::default();
        self.save()?;
        if interrupt::requested() && metrics.epoch < self.training.epochs {
            return Err(interrupt::stopped(&self.commands.resume).into());
        }
        Ok(())
    }

    /// Saves everything the rest of the run depends on.
    fn save(&self) -> Result<()> {
        let mut state = self.qat.checkpoint();
        // `{}` of an `f64` reads back to the same bits.
        state.set("epoch_loss", self.tally.loss);
        state.set("epoch_correct", self.tally.correct);
        state.set("epoch_images", self.tally.images);
        Ok(state.write(self.folder.path(STATE))?)
    }

    /// Takes up a saved state; without one, the run starts anew.
    fn restore(&mut self) -> Result<()> {
        let path = self.folder.path(STATE);
        if path.exists() {
            let state = Checkpoint::read(&path)?;
            self.tally = Tally {
                loss: state.get("epoch_loss")?.unwrap_or(0.0),
                correct: state.get("epoch_correct")?.unwrap_or(0),
                images: state.get("epoch_images")?.unwrap_or(0),
            };
            self.qat.restore(state)?;
        }
        // An epoch that was measured but not saved comes again.
        let done = self.qat.trainer.step;
        self.folder.retain_metrics(|m| m["step"].as_u64().is_some_and(|step| step <= done as u64))
    }

    fn metrics(&self) -> Result<Vec<Metrics>> {
        let lines = self.folder.metrics()?.into_iter().map(serde_json::from_value);
        let broken = |e| Failure::BadInput(format!("{}: {e}", self.folder.path("metrics.jsonl").display()));
        Ok(lines.collect::<std::result::Result<_, _>>().map_err(broken)?)
    }

    fn finish(self) -> Result<Outcome> {
        let shadow = shadow_path(&self.model);
        let checkpoint = Checkpoint::read(&shadow)?;
        let best = QuantizedNetwork::from_checkpoint(&checkpoint, None)?;
        let lost = || Failure::BadInput(format!("{}: holds no quantized network", shadow.display()));
        Ok(Outcome { metrics: self.metrics()?, best: best.ok_or_else(lost)?, model: self.model })
    }
}
