//! Quantization-aware training from a trained network: epochs, evaluation in integers, saving, resuming.
//!
//! ```text
//! FOLDER/
//!     metrics.jsonl                 one line an epoch
//!     state.safetensors             where the run stands
//!     ResNet20_W4A4.safetensors     the best epoch's network
//!     ResNet20_W4A4.latent.safetensors     its latent weights, ranges in the metadata
//!     last/                         the same two of the last epoch
//! ```

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::Params;
use models::data::loader::Loader;
use models::formats::latent_path;
use models::{Checkpoint, EpochMetrics, Fit, Learner, Network, QatTrainer, QuantizedNetwork};
use quant::{LayerBits, reestimate};

use super::{Setup, SizeGoal, Training, in_integers, mixed_name, model_name};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::fit::{self, STATE, Verb, seconds_of_step};
use crate::run::run_folder::RunFolder;

/// What the user types.
#[derive(Clone, Debug)]
pub struct Commands {
    /// To repeat the run; the model file keeps it.
    pub run: String,
    /// To continue it, shown when Ctrl-C stops it.
    pub resume: String,
}

/// What a finished run has to say.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Every epoch.
    pub metrics: Vec<EpochMetrics>,
    /// The network of the best epoch.
    pub best: QuantizedNetwork,
    /// The network of the last epoch.
    pub last: QuantizedNetwork,
    /// The best network's file.
    pub model: PathBuf,
    /// What was measured after each epoch.
    pub what: &'static str,
    /// The bits that were learned, if they were.
    pub learned_bits: Option<LayerBits>,
}

impl Outcome {
    /// Accuracy after the last epoch, on the images that epochs are compared on.
    pub fn top1_last(&self) -> f64 {
        self.metrics.last().map_or(0.0, |m| m.test_top1)
    }

    /// Accuracy after the best epoch on these images, and its number; the earliest of equals. Where bits are learned it is the last: the
    /// networks before were larger.
    pub fn best(&self) -> (f64, usize) {
        let last = self.learned_bits.as_ref().and(self.metrics.last());
        last.or_else(|| fit::best(&self.metrics)).map_or((0.0, 0), |m| (m.test_top1, m.epoch))
    }

    /// Median speed of the epochs.
    pub fn images_per_s(&self) -> f64 {
        fit::images_per_s(&self.metrics)
    }

    /// Accuracy and loss by epoch.
    pub fn curve(&self) -> String {
        fit::curve(&self.metrics, self.what)
    }
}

/// What is trained, and on which images.
fn learner(
    context: &Context,
    setup: &Setup,
    start: &QuantizedNetwork,
    training: &Training,
) -> Result<(QatTrainer, Loader)> {
    let images = setup.training(training.batch, context.seed);
    let trainer = training.trainer(&start.network, images.batches());
    let qat = QatTrainer::new(trainer, start.quantization.clone())?;
    let qat = match training.size_goal {
        Some(SizeGoal { bytes, price }) => qat.with_learned_widths(bytes, price)?,
        None => qat,
    };
    Ok((qat, images))
}

/// Seconds of a step, of which two are taken, the steps of an epoch, and the learner: in a run it stays in memory while the
/// network is measured.
///
/// # Errors
/// If a step fails.
pub fn step_seconds(
    context: &Context,
    setup: &Setup,
    start: &QuantizedNetwork,
    training: &Training,
) -> Result<(f64, usize, QatTrainer)> {
    let (mut learner, images) = learner(context, setup, start, training)?;
    Ok((seconds_of_step(&mut learner, &images)?, images.batches(), learner))
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
    let model = folder.path(match training.size_goal {
        Some(_) => mixed_name(&start.network),
        None => model_name(&start),
    });
    let (learner, images) = learner(context, setup, &start, &training)?;
    let QuantizedNetwork { network, .. } = start;
    let mut fit = Fit::new(learner, training.epochs).with_checkpoints_every(training.checkpoint_every);
    let state = Some(folder.path(STATE)).filter(|path| path.exists()).map(Checkpoint::read).transpose()?;
    let mut verb = Aware {
        context,
        setup,
        network: &network,
        model: &model,
        command: &commands.run,
        reestimate_images: training.reestimate_images,
        batch: training.batch,
        measured: None,
    };
    let metrics = fit::train(context, folder, &commands.resume, (&mut fit, state), &images, &mut verb)?;
    let (what, last) = (verb.what(), verb.quantized(&fit.learner)?.clone());
    let widths = &fit.learner.hook.widths;
    if widths.is_on_the_way() {
        context.note(format_args!(
            "the weights have {:.1} KiB, which is still above --learn-bits: train longer, or with a higher --size-price",
            widths.bytes() / 1024.0
        ));
    }
    if let Some(share) = fit.learner.hook.frozen_share() {
        context.note(format_args!("{:.2}% of the weights are frozen to their codes", 100.0 * share));
    }
    let learned_bits = (!widths.is_empty()).then(|| widths.layer_bits());
    Ok(Outcome { metrics, best: saved(&model)?, last, model, what, learned_bits })
}

/// The network that was saved as `model`, from its latent weights.
///
/// # Errors
/// If their file is not there or is damaged.
pub fn saved(model: &Path) -> Result<QuantizedNetwork> {
    let latent = latent_path(model);
    let lost = || Failure::BadInput(format!("{}: holds no quantized network", latent.display()));
    Ok(QuantizedNetwork::from_checkpoint(&Checkpoint::read(&latent)?, None)?.ok_or_else(lost)?)
}

/// The parameters of `quantized` with batch norms re-estimated on so many training images (9j).
///
/// # Errors
/// If there are no images, or the network cannot be simulated.
pub fn reestimated(
    setup: &Setup,
    quantized: &QuantizedNetwork,
    images: usize,
    batch: usize,
    seed: u64,
) -> Result<Params> {
    // Augmented as in training: black borders change what the first layers see.
    let images = setup.augmented(images, batch, seed);
    let (Network { graph, params, .. }, mut hook) = (&quantized.network, quantized.quantization.simulated());
    Ok(reestimate(graph, params, images.epoch(0).map(|batch| batch.x), &mut hook)?)
}

/// A network in training, measured in integers.
struct Aware<'a> {
    context: &'a Context,
    setup: &'a Setup,
    network: &'a Network,
    model: &'a Path,
    command: &'a str,
    reestimate_images: usize,
    batch: usize,
    /// The network after the step at which it was taken last.
    measured: Option<(usize, QuantizedNetwork)>,
}

impl Aware<'_> {
    /// The network as it stands after the learner's last step, batch norms re-estimated where that was asked for.
    fn quantized(&mut self, qat: &QatTrainer) -> Result<&QuantizedNetwork> {
        let step = qat.steps();
        if self.measured.as_ref().is_none_or(|(at, _)| *at != step) {
            let mut network = QuantizedNetwork::of(self.network, qat.quantized()?);
            if self.reestimate_images > 0 {
                let images = self.reestimate_images;
                network.network.params =
                    reestimated(self.setup, &network, images, self.batch, self.context.seed)?;
            }
            self.measured = Some((step, network));
        }
        let (_, quantized) = self.measured.as_ref().expect("it was just taken");
        Ok(quantized)
    }
}

impl Verb<QatTrainer> for Aware<'_> {
    fn what(&self) -> &'static str {
        if self.setup.held_out.is_some() { "held out, in integers" } else { "test in integers" }
    }

    fn test(&mut self, qat: &QatTrainer) -> Result<f64> {
        let (context, setup) = (self.context, self.setup);
        Ok(in_integers(context, self.quantized(qat)?, setup.choosing())?.top1())
    }

    /// Saves the best network so far; of networks that become smaller, each.
    fn keep(&mut self, qat: &QatTrainer, metrics: &EpochMetrics, before: &[EpochMetrics]) -> Result<()> {
        let one_size = qat.hook.widths.is_empty();
        if one_size && fit::best(before).is_some_and(|best| metrics.test_top1 <= best.test_top1) {
            return Ok(());
        }
        let [accuracy, images] = match self.setup.held_out {
            Some(_) => ["held_out_accuracy", "held_out_images"],
            None => ["test_accuracy", "test_images"],
        };
        let facts = [
            ("epoch", metrics.epoch.to_string()),
            ("seed", self.context.seed.to_string()),
            (accuracy, format!("{:.2}", metrics.test_top1)),
            (images, self.setup.choosing().images().to_string()),
            ("command", self.command.to_owned()),
        ];
        let model = self.model;
        self.quantized(qat)?.save(model, &facts)?;
        Ok(())
    }

    fn describe(&self, state: &mut Checkpoint) {
        self.network.describe(state);
    }
}
