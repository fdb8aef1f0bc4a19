//! `train`: a float network, from scratch or from weights that are there.
//!
//! The defaults are 24 epochs of SGD with Nesterov momentum, one epoch of warm-up, half a cosine down to zero, weight decay
//! on the weights only, label smoothing, an exponential average of the weights which is what is evaluated and kept. The
//! network that comes with the program took more epochs, two runs, and a cutout: models/assets/README.md says how.
//!
//! A run can be stopped at any step, by Ctrl-C or by force, and continued with `--resume` to the same weights,
//! bit for bit: order and augmentation of the images are functions of seed, epoch and position, and
//! `state.safetensors` holds everything else.

mod forecast;
mod recipe;

use anyhow::Result;
use engine::Float;
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::{Checkpoint, EpochMetrics, Evaluation, Fit, Network, Trainer, evaluate};
use serde_json::json;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::page;
use crate::run::fit::{self, STATE, Verb};
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::{run::assets, run::interrupt, run::settings};
pub use recipe::TrainArgs;
use recipe::{loaders, network, trainer};

/// What a run makes.
pub(super) const WEIGHTS: &str = "weights.safetensors";

/// Trains to the end, or until Ctrl-C.
///
/// # Errors
/// If the data cannot be read, the folder cannot be written to, or the run diverges.
pub fn run(args: TrainArgs, context: &Context) -> Result<()> {
    args.check()?;
    let data = assets::open_data(context, args.data.as_deref())?;
    // Without a saved state, a run that is resumed starts anew.
    let path = args.resume.as_ref().map(|folder| folder.join(STATE)).filter(|path| path.exists());
    let state = path.map(Checkpoint::read).transpose()?;
    let network = network(&args, context, &data, state.as_ref())?;
    let (train, test) = loaders(&args, context.seed, &data, network.normalization);
    if args.dry_run {
        return forecast::show(
            &args,
            context,
            &network,
            trainer(&args, &network, train.batches()),
            (&train, &test),
        );
    }
    let folder = folder(&args, context)?;
    let mut files = vec![("data", data.folder.as_path())];
    // Once there is a state, the file is needed no more.
    files.extend(args.init.as_deref().filter(|_| state.is_none()).map(|file| ("init", file)));
    folder.pin(context, &files)?;
    context.note(format_args!(
        "{}, {} parameters, {} classes; {} training and {} test images of {}; run in {}",
        network.label(),
        network.params.trainable_count(),
        network.classes.len(),
        train.images(),
        test.images(),
        data.folder.display(),
        folder.folder().display(),
    ));
    if args.data.is_none() {
        context.note("this is the small slice that comes with the program; --data DIR takes the whole set");
    }
    let trainer = trainer(&args, &network, train.batches());
    let mut fit = Fit::new(trainer, args.epochs).with_checkpoints_every(args.checkpoint_every);
    let mut verb = Train { context, network, test };
    let resume = folder.resume(context);
    interrupt::at_once(format!("what was saved before stays; continue with `{resume}`"));
    let metrics = fit::train(context, &folder, &resume, (&mut fit, state), &train, &mut verb)?;
    interrupt::at_once(format!("all epochs are saved; `{resume}` measures and reports"));
    verb.finish(&args, &folder, &data, &fit.learner, &metrics)
}

/// What is trained, and what it is measured on.
struct Train<'a> {
    context: &'a Context,
    network: Network,
    test: Loader,
}

impl Verb<Trainer> for Train<'_> {
    fn what(&self) -> &'static str {
        "test"
    }

    fn test(&mut self, trainer: &Trainer) -> Result<f64> {
        Ok(self.answers(trainer)?.top1())
    }

    fn describe(&self, state: &mut Checkpoint) {
        self.network.describe(state);
    }
}

impl Train<'_> {
    /// The averaged network on the test images.
    fn answers(&self, trainer: &Trainer) -> Result<Evaluation> {
        let progress = Progress::new(self.context, "  test", self.test.images());
        let (graph, params) = (&trainer.graph, trainer.averaged());
        let batches = self.test.prefetch(0, 0, 2);
        Ok(evaluate(graph, params, batches, &mut Float, |done| progress.set(done))?)
    }

    /// Writes the network and the plot, prints the result.
    fn finish(
        &self,
        args: &TrainArgs,
        folder: &RunFolder,
        data: &DataSet,
        trainer: &Trainer,
        metrics: &[EpochMetrics],
    ) -> Result<()> {
        let context = self.context;
        let (Some(last), Some(best)) = (metrics.last(), fit::best(metrics)) else {
            return Err(Failure::BadInput(format!("{}: no metrics", folder.folder().display())).into());
        };
        let mut weights = self.network.checkpoint(trainer.averaged());
        weights.set("test_accuracy", format!("{:.2}", last.test_top1));
        weights.set("seed", context.seed);
        weights.set("epoch", last.epoch);
        let command = settings::command(&context.verb, context.seed, args)?;
        weights.set("command", &command);
        let path = folder.path(WEIGHTS);
        weights.write(&path)?;
        let plot = folder.write("curve.svg", fit::curve(metrics, self.what()).as_bytes())?;
        let row = page::Row::float(&self.answers(trainer)?, &self.network)?;
        let begin = page::Begin { weights: None, data, test: &self.test };
        let report = page::write(context, folder, begin, &command, vec![row], None)?;

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
        context.say(format_args!("report  {}", report.display()))?;
        context.result(&json!({
            "top1_last": last.test_top1,
            "top1_best": best.test_top1,
            "epoch_best": best.epoch,
            "epochs": last.epoch,
            "steps": last.step,
            "loss": last.loss,
            "train_top1": last.train_top1,
            "images": self.test.images(),
            "images_per_s": fit::images_per_s(metrics),
            "seed": context.seed,
            "weights": path,
            "curve": plot,
            "report": report,
            "run": folder.folder(),
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
