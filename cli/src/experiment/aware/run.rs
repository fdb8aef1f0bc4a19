//! A run of quantization-aware training: epochs, evaluation in integers, saving, resuming.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use engine::optim::{Decay, Schedule, Sgd};
use models::data::augment::Augment;
use models::data::loader::Loader;
use models::formats::saved::shadow_path;
use models::{Checkpoint, Progress as Tally, QatTrainer, QuantizedNetwork};

use super::{Metrics, Outcome, Training, best};
use crate::context::Context;
use crate::exit::Failure;
use crate::experiment::{Setup, in_integers, model_name};
use crate::interrupt;
use crate::progress::Progress;
use crate::run_folder::RunFolder;

/// Where a run stands.
const STATE: &str = "state.safetensors";
/// The key of the state that holds the last line of the metrics.
const LAST_METRICS: &str = "last_metrics";

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
    let mut run = Run {
        context,
        setup,
        training,
        folder,
        qat,
        images,
        tally: Tally::default(),
        last: None,
        commands,
        model,
    };
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
    /// Of the last whole epoch.
    last: Option<Metrics>,
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
        self.last = Some(metrics.clone());
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
        if let Some(last) = &self.last {
            state.set(LAST_METRICS, serde_json::to_string(last)?);
        }
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
            self.last = last_metrics(&state)?;
            self.qat.restore(state)?;
        }
        // An epoch that was measured but not saved comes again.
        let done = self.qat.trainer.step;
        self.folder.retain_metrics(|m| m["step"].as_u64().is_some_and(|step| step <= done as u64))?;
        self.folder.complete_metrics(self.last.as_ref(), |m| m.step as u64)
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
        let last = self.qat.quantized();
        Ok(Outcome { metrics: self.metrics()?, best: best.ok_or_else(lost)?, last, model: self.model })
    }
}

/// The last line of the metrics, as the state remembers it.
fn last_metrics(state: &Checkpoint) -> Result<Option<Metrics>> {
    let Some(json) = state.metadata.get(LAST_METRICS) else { return Ok(None) };
    let broken = |e| Failure::BadInput(format!("{}: metadata `{LAST_METRICS}`: {e}", state.path.display()));
    Ok(Some(serde_json::from_str(json).map_err(broken)?))
}
