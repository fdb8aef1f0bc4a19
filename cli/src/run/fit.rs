//! A [`Fit`] in a run's folder: bars, metrics, saved states, Ctrl-C. What `train` and `qat` share.

use std::time::Instant;

use anyhow::Result;
use models::data::loader::Loader;
use models::training::Watch;
use models::{Checkpoint, Ended, EpochMetrics, Fit, Learner, Tally};

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::forecast::{spoken, timed};
use crate::run::interrupt;
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::show::plot::{Series, lines};
use crate::show::svg::Plot;

/// Where a run stands.
pub const STATE: &str = "state.safetensors";

/// What a verb adds to the loop.
pub trait Verb<L> {
    /// What is measured after each epoch, in a few words.
    fn what(&self) -> &'static str;

    /// The accuracy after an epoch, percent.
    ///
    /// # Errors
    /// If it cannot be measured.
    fn test(&mut self, learner: &L) -> Result<f64>;

    /// Keeps what the verb keeps of an epoch; `before` are those that came before.
    ///
    /// # Errors
    /// If it cannot be written.
    fn keep(&mut self, learner: &L, metrics: &EpochMetrics, before: &[EpochMetrics]) -> Result<()> {
        let _ = (learner, metrics, before);
        Ok(())
    }

    /// Says in a saved state what network it is of.
    fn describe(&self, state: &mut Checkpoint);
}

/// Trains to the end, from `state` where there is one, and returns the metrics of every epoch.
///
/// # Errors
/// If the run diverges, the folder cannot be written to, or Ctrl-C was pressed: `resume` is the command to continue.
pub fn train<L: Learner>(
    context: &Context,
    folder: &RunFolder,
    resume: &str,
    (fit, state): (&mut Fit<L>, Option<Checkpoint>),
    images: &Loader,
    verb: &mut impl Verb<L>,
) -> Result<Vec<EpochMetrics>> {
    if let Some(state) = state {
        fit.resume(state)?;
    }
    // An epoch that was measured but not saved comes again.
    let done = fit.learner.steps();
    folder.retain_metrics(|m| m["step"].as_u64().is_some_and(|step| step <= done as u64))?;
    folder.complete_metrics(fit.last(), |m| m.step as u64)?;
    interrupt::handle();
    let begun = (Instant::now(), done);
    let all = fit.epochs * images.batches();
    let mut run = FitRun {
        context,
        folder,
        epochs: fit.epochs,
        verb,
        epoch: String::new(),
        at: 0,
        all,
        begun,
        bar: None,
    };
    match fit.run(images, &mut run)? {
        Ended::Finished => metrics(folder),
        Ended::Stopped => Err(interrupt::stopped(resume).into()),
    }
}

/// All epochs of a run.
///
/// # Errors
/// If a line of the metrics is damaged.
pub fn metrics(folder: &RunFolder) -> Result<Vec<EpochMetrics>> {
    let lines = folder.metrics()?.into_iter().map(serde_json::from_value);
    let broken = |e| Failure::BadInput(format!("{}: {e}", folder.path("metrics.jsonl").display()));
    Ok(lines.collect::<std::result::Result<_, _>>().map_err(broken)?)
}

/// The epoch with the highest accuracy, the earliest of equals.
pub fn best(metrics: &[EpochMetrics]) -> Option<&EpochMetrics> {
    metrics.iter().max_by(|a, b| a.test_top1.total_cmp(&b.test_top1).then(b.epoch.cmp(&a.epoch)))
}

/// Median speed of the epochs.
pub fn images_per_s(metrics: &[EpochMetrics]) -> f64 {
    let mut speeds: Vec<f64> = metrics.iter().map(|m| m.images_per_s).collect();
    speeds.sort_by(f64::total_cmp);
    speeds.get(speeds.len() / 2).copied().unwrap_or(0.0)
}

/// Accuracy and loss by epoch, as a file; `test` is what was measured after each.
pub fn curve(metrics: &[EpochMetrics], test: &str) -> String {
    let series = |name: &str, value: fn(&EpochMetrics) -> f64| {
        Series::new(name, metrics.iter().map(|m| (m.epoch as f64, value(m))).collect())
    };
    let top1 = [series(test, |m| m.test_top1), series("training", |m| m.train_top1)];
    let loss = [series("training loss", |m| m.loss)];
    Plot::stack(&[
        lines("Accuracy", "epoch", "top-1, %", &top1),
        lines("Loss", "epoch", "the loss that is trained", &loss),
    ])
}

/// Seconds of the second of two steps: the first one also allocates.
///
/// # Errors
/// If a step fails.
pub fn seconds_of_step(learner: &mut impl Learner, images: &Loader) -> Result<f64> {
    let mut seconds = 0.0;
    for batch in images.epoch(0).chain(images.epoch(1)).take(2) {
        (_, seconds) = timed(|| Ok(learner.learn(batch)?))?;
    }
    Ok(seconds)
}

/// A run in progress.
struct FitRun<'a, V> {
    context: &'a Context,
    folder: &'a RunFolder,
    epochs: usize,
    verb: &'a mut V,
    /// `epoch 3/24`.
    epoch: String,
    /// Steps before this epoch.
    at: usize,
    /// Steps of all epochs.
    all: usize,
    /// When this part of the run began, and at which step.
    begun: (Instant, usize),
    bar: Option<Progress>,
}

impl<L, V: Verb<L>> Watch<L> for FitRun<'_, V> {
    type Error = anyhow::Error;

    fn begin(&mut self, epoch: usize, first: usize, batches: usize) {
        self.epoch = format!("epoch {}/{}", epoch + 1, self.epochs);
        self.at = epoch * batches;
        let bar = Progress::new(self.context, &self.epoch, batches);
        bar.set(first);
        self.bar = Some(bar);
    }

    fn step(&mut self, done: usize, tally: &Tally) {
        if let Some(bar) = &self.bar {
            let (since, first) = self.begun;
            let step = self.at + done;
            let pace = since.elapsed().as_secs_f64() / step.saturating_sub(first).max(1) as f64;
            let left = spoken(pace * self.all.saturating_sub(step) as f64);
            let (loss, top1) = (tally.mean_loss(), tally.top1());
            bar.message(format!("loss {loss:.4} top-1 {top1:.2}% (all epochs: {left} left)"));
            bar.set(done);
        }
    }

    fn stopping(&self) -> bool {
        interrupt::requested()
    }

    fn evaluate(&mut self, learner: &L) -> Result<f64> {
        self.bar = None;
        self.verb.test(learner)
    }

    fn epoch(&mut self, learner: &L, metrics: &EpochMetrics) -> Result<()> {
        self.context.note(format_args!(
            "{:<12} loss {:.4}  train {:.2}%  {} {:.2}%  lr {:.5}  {:.0} images/s",
            self.epoch,
            metrics.loss,
            metrics.train_top1,
            self.verb.what(),
            metrics.test_top1,
            metrics.lr,
            metrics.images_per_s,
        ));
        self.verb.keep(learner, metrics, &self::metrics(self.folder)?)?;
        self.folder.append_metrics(metrics)
    }

    fn save(&mut self, mut state: Checkpoint) -> Result<()> {
        self.verb.describe(&mut state);
        Ok(state.write(self.folder.path(STATE))?)
    }
}
