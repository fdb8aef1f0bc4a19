//! `train`: a float network, from scratch or from weights that are there.
//!
//! The defaults, with more epochs and a cutout, are the recipe of the network that comes with the program: SGD with Nesterov momentum, one epoch
//! of warm-up, half a cosine down to zero, weight decay on the weights only, label smoothing, an exponential
//! average of the weights which is what is evaluated and kept.
//!
//! A run can be stopped at any step, by Ctrl-C or by force, and continued with `--resume` to the same weights,
//! bit for bit: order and augmentation of the images are functions of seed, epoch and position, and
//! `state.safetensors` holds everything else.

mod recipe;

use std::time::Instant;

use anyhow::Result;
use engine::Float;
use models::data::cifar10::Cifar10;
use models::data::loader::Loader;
use models::{Checkpoint, Progress as Tally, Trainer, evaluate};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::exit::Failure;
use crate::plot::{Series, lines, stack};
use crate::progress::Progress;
use crate::run_folder::RunFolder;
use crate::{assets, interrupt, settings};
pub use recipe::TrainArgs;
use recipe::{loaders, network, trainer};

/// Where a run stands.
const STATE: &str = "state.safetensors";
/// The key of the state that holds the last line of the metrics.
const LAST_METRICS: &str = "last_metrics";
/// What a run makes.
const WEIGHTS: &str = "weights.safetensors";

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Metrics {
    /// From 1.
    epoch: usize,
    /// Steps since the beginning.
    step: usize,
    loss: f64,
    train_top1: f64,
    test_top1: f64,
    lr: f64,
    images_per_s: f64,
    seconds: f64,
}

/// Trains to the end, or until Ctrl-C.
///
/// # Errors
/// If the data cannot be read, the folder cannot be written to, or the run diverges.
pub fn run(args: TrainArgs, context: &Context) -> Result<()> {
    let data = assets::open_data(args.data.as_deref())?;
    let mut run = Run::new(args, context, &data)?;
    context.note(format_args!(
        "ResNet-{} option {}, {} parameters; {} training and {} test images of {}; run in {}",
        run.trainer.network.depth,
        run.trainer.network.shortcut,
        run.trainer.network.params.trainable_count(),
        run.train.images(),
        run.test.images(),
        data.folder.display(),
        run.folder.folder().display(),
    ));
    if run.args.data.is_none() {
        context.note("this is the small slice that comes with the program; --data DIR takes the whole set");
    }
    interrupt::handle();
    let epochs = run.args.epochs;
    while run.trainer.step < epochs * run.train.batches() {
        run.epoch(context)?;
    }
    run.finish(context)
}

/// A run in progress.
struct Run {
    args: TrainArgs,
    folder: RunFolder,
    trainer: Trainer,
    train: Loader,
    test: Loader,
    /// Of the steps of this epoch so far.
    tally: Tally,
    /// Of the last whole epoch.
    last: Option<Metrics>,
}

impl Run {
    /// A new run, or the one to resume.
    fn new(args: TrainArgs, context: &Context, data: &Cifar10) -> Result<Self> {
        args.check()?;
        // Without a saved state, a run that is resumed starts anew.
        let path = args.resume.as_ref().map(|folder| folder.join(STATE)).filter(|path| path.exists());
        let state = path.map(Checkpoint::read).transpose()?;
        let network = network(&args, context, state.as_ref())?;
        let (train, test) = loaders(&args, context.seed, data, network.normalization);
        let trainer = trainer(&args, network, train.batches());
        let mut run = Self {
            folder: folder(&args, context)?,
            args,
            trainer,
            train,
            test,
            tally: Tally::default(),
            last: None,
        };
        let mut files = vec![("data", data.folder.as_path())];
        // Once there is a state, the file is needed no more.
        files.extend(run.args.init.as_deref().filter(|_| state.is_none()).map(|file| ("init", file)));
        run.folder.pin(context, &files)?;
        if run.args.resume.is_some() {
            run.restore(state)?;
        }
        Ok(run)
    }

    /// Trains to the end of the epoch in which the run stands, evaluates, saves.
    fn epoch(&mut self, context: &Context) -> Result<()> {
        let batches = self.train.batches();
        let (epoch, first) = (self.trainer.step / batches, self.trainer.step % batches);
        let (start, before) = (Instant::now(), self.tally.images);
        let progress = Progress::new(context, format!("epoch {}/{}", epoch + 1, self.args.epochs), batches);
        progress.set(first);
        let mut lr = 0.0;
        for batch in self.train.prefetch(epoch, first, 2) {
            lr = self.trainer.schedule.rate(self.trainer.step);
            let result = self.trainer.step(batch, &mut Float);
            self.tally.add(result.map_err(|e| Failure::Run(format!("training: {e}")))?);
            let step = self.trainer.step;
            progress.message(format!("loss {:.4} top-1 {:.2}%", self.tally.mean_loss(), self.tally.top1()));
            progress.set(step - epoch * batches);
            let in_mid_epoch = !step.is_multiple_of(batches);
            if interrupt::requested() && in_mid_epoch {
                self.save()?;
                return Err(self.stopped().into());
            }
            if in_mid_epoch && step.is_multiple_of(self.args.checkpoint_every) {
                self.save()?;
            }
        }
        drop(progress);
        let seconds = start.elapsed().as_secs_f64();
        let metrics = Metrics {
            epoch: epoch + 1,
            step: self.trainer.step,
            loss: self.tally.mean_loss(),
            train_top1: self.tally.top1(),
            test_top1: self.evaluate(context)?,
            lr: f64::from(lr),
            images_per_s: (self.tally.images - before) as f64 / seconds,
            seconds,
        };
        context.note(format_args!(
            "epoch {:>3}/{}  loss {:.4}  train {:.2}%  test {:.2}%  lr {:.5}  {:.0} images/s",
            metrics.epoch,
            self.args.epochs,
            metrics.loss,
            metrics.train_top1,
            metrics.test_top1,
            metrics.lr,
            metrics.images_per_s,
        ));
        self.folder.append_metrics(&metrics)?;
        self.tally = Tally::default();
        self.last = Some(metrics.clone());
        self.save()?;
        if interrupt::requested() && metrics.epoch < self.args.epochs {
            return Err(self.stopped().into());
        }
        Ok(())
    }

    fn evaluate(&self, context: &Context) -> Result<f64> {
        let progress = Progress::new(context, "  test", self.test.images());
        let (graph, params) = (&self.trainer.network.graph, self.trainer.averaged());
        let batches = self.test.prefetch(0, 0, 2);
        Ok(evaluate(graph, params, batches, &mut Float, |done| progress.set(done))?.top1())
    }

    /// Saves everything the rest of the run depends on.
    fn save(&self) -> Result<()> {
        let mut state = self.trainer.checkpoint();
        // `{}` of an `f64` reads back to the same bits.
        state.set("epoch_loss", self.tally.loss);
        state.set("epoch_correct", self.tally.correct);
        state.set("epoch_images", self.tally.images);
        if let Some(last) = &self.last {
            state.set(LAST_METRICS, serde_json::to_string(last)?);
        }
        Ok(state.write(self.folder.path(STATE))?)
    }

    /// Takes up a saved state.
    fn restore(&mut self, state: Option<Checkpoint>) -> Result<()> {
        if let Some(state) = state {
            self.tally = Tally {
                loss: state.get("epoch_loss")?.unwrap_or(0.0),
                correct: state.get("epoch_correct")?.unwrap_or(0),
                images: state.get("epoch_images")?.unwrap_or(0),
            };
            let broken =
                |e| Failure::BadInput(format!("{}: metadata `{LAST_METRICS}`: {e}", state.path.display()));
            let json = state.metadata.get(LAST_METRICS);
            self.last = json.map(|json| serde_json::from_str(json)).transpose().map_err(broken)?;
            self.trainer.restore(state)?;
        }
        // An epoch that was measured but not saved comes again.
        let done = self.trainer.step;
        self.folder.retain_metrics(|m| m["step"].as_u64().is_some_and(|step| step <= done as u64))?;
        self.folder.complete_metrics(self.last.as_ref(), |m| m.step as u64)
    }

    fn stopped(&self) -> Failure {
        interrupt::stopped(&format!("cli train --resume {}", self.folder.folder().display()))
    }

    /// Writes the network and the plot, prints the result.
    fn finish(&self, context: &Context) -> Result<()> {
        let metrics: Vec<Metrics> = self
            .folder
            .metrics()?
            .into_iter()
            .map(serde_json::from_value)
            .collect::<std::result::Result<_, _>>()
            .map_err(|e| {
                Failure::BadInput(format!("{}: {e}", self.folder.path("metrics.jsonl").display()))
            })?;
        let (Some(last), Some(best)) = (
            metrics.last(),
            metrics.iter().max_by(|a, b| a.test_top1.total_cmp(&b.test_top1).then(b.epoch.cmp(&a.epoch))),
        ) else {
            return Err(Failure::BadInput(format!("{}: no metrics", self.folder.folder().display())).into());
        };
        let mut weights = self.trainer.network.checkpoint(self.trainer.averaged());
        weights.set("test_accuracy", format!("{:.2}", last.test_top1));
        weights.set("seed", context.seed);
        weights.set("epoch", last.epoch);
        weights.set("command", settings::command(&context.verb, context.seed, &self.args)?);
        let path = self.folder.path(WEIGHTS);
        weights.write(&path)?;
        let plot = self.folder.write("curve.svg", curve(&metrics).as_bytes())?;

        context.say(format_args!(
            "top-1 {:.2}% on {} test images after epoch {} (best {:.2}% after epoch {}), seed {}",
            last.test_top1,
            self.test.images(),
            last.epoch,
            best.test_top1,
            best.epoch,
            context.seed
        ))?;
        context.say(format_args!("weights {}", path.display()))?;
        context.say(format_args!("curve   {}", plot.display()))?;
        context.result(&json!({
            "top1_last": last.test_top1,
            "top1_best": best.test_top1,
            "epoch_best": best.epoch,
            "epochs": last.epoch,
            "steps": last.step,
            "loss": last.loss,
            "train_top1": last.train_top1,
            "images": self.test.images(),
            "images_per_s": median(metrics.iter().map(|m| m.images_per_s).collect()),
            "seed": context.seed,
            "weights": path,
            "curve": plot,
            "run": self.folder.folder(),
        }))
    }
}

/// The folder of the new run, or of the one to resume.
fn folder(args: &TrainArgs, context: &Context) -> Result<RunFolder> {
    match &args.resume {
        Some(folder) => RunFolder::open(folder),
        None => RunFolder::create(context, args.out.as_deref(), args),
    }
}

/// Loss and accuracy by epoch.
fn curve(metrics: &[Metrics]) -> String {
    let series = |name: &str, value: fn(&Metrics) -> f64| {
        Series::new(name, metrics.iter().map(|m| (m.epoch as f64, value(m))).collect())
    };
    let loss = [series("training loss", |m| m.loss)];
    let top1 = [series("test", |m| m.test_top1), series("training", |m| m.train_top1)];
    stack(&[lines("Accuracy", "epoch", "top-1, %", &top1), lines("Loss", "epoch", "cross entropy", &loss)])
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
