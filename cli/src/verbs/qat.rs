//! `qat`: fine-tunes a trained network with the quantization in place.
//!
//! Without flags: the network and the slice of CIFAR-10 that come with the program; float accuracy, post-training
//! quantization at W4A4, a short training under fake quantization, the accuracy of the integers, a table, and where
//! everything was saved. The result is the network after the last epoch, which nobody chose; the best epoch's stands beside it.

mod end;
mod forecast;
mod in_table;
mod learn_bits;
mod rules;
mod start;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use models::formats::latent_path;
use quant::{ActivationRule, LayerBits, ScaleRule, Step, Widths};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::aware::{Commands, train};
use crate::run::experiment::{
    CalibrationSource, Recipe, Scores, Setup, WidthArgs, file_bytes, in_integers, page,
};
use crate::run::input::InputArgs;
use crate::run::run_folder::RunFolder;
use crate::{run::interrupt, run::settings};
use end::{finish, save_last};
use learn_bits::LearnBitsArgs;
use rules::RuleArgs;

/// Settings of `qat`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct QatArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    #[command(flatten)]
    #[serde(flatten)]
    widths: WidthArgs,
    #[command(flatten)]
    #[serde(flatten)]
    rules: RuleArgs,
    #[command(flatten)]
    #[serde(flatten)]
    learn_bits: LearnBitsArgs,
    /// Batch norms keep their statistics in the last N epochs
    #[arg(long, value_name = "N", default_value_t = 0)]
    frozen_epochs: usize,
    /// Re-estimate batch norms on N training images, in whole batches, before the network is measured or kept; 0: not
    #[arg(long, value_name = "N", default_value_t = 0)]
    reestimate_images: usize,
    /// Start from this network: a float one, or one trained under quantization (its .latent file, or the folder of its run) [default: --weights]
    #[arg(long, value_name = "FILE|DIR")]
    init: Option<PathBuf>,
    /// Learn from this float network's logits too; float: the network of --weights
    #[arg(long, value_name = "FILE|float")]
    teacher: Option<PathBuf>,
    /// Share of the teacher's term in the loss
    #[arg(long, value_name = "SHARE", default_value_t = SHARE)]
    teacher_share: f64,
    /// Divides the logits of network and teacher before they are compared
    #[arg(long, value_name = "T", default_value_t = TEMPERATURE)]
    temperature: f64,
    /// Rule that chooses the range of activations in each batch; its moving average is used
    #[arg(long, value_name = "RULE", default_value = "heuristic")]
    activation_rule: ActivationRule,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 8)]
    epochs: usize,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = 128)]
    batch: usize,
    /// First learning rate; half a cosine to zero follows
    #[arg(long, value_name = "RATE", default_value_t = 0.005)]
    lr: f64,
    /// Weight decay
    #[arg(long, value_name = "DECAY", default_value_t = 1e-4)]
    weight_decay: f64,
    /// Label smoothing
    #[arg(long, value_name = "SHARE", default_value_t = 0.0)]
    smoothing: f64,
    /// Decay of an average of the weights that is evaluated and kept; 0: no average
    #[arg(long, value_name = "DECAY", default_value_t = 0.95)]
    ema: f64,
    /// Training images to calibrate on, before training
    #[arg(long, value_name = "N", default_value_t = 1000)]
    calibration_images: usize,
    /// Only the first N training images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only the first N test images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    test_limit: Option<u32>,
    /// Keep N training images apart and compare the epochs on them; the test images are looked at once, at the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    hold_out: Option<u32>,
    /// Save the state every N steps too, not only after each epoch; 0: never
    #[arg(long, value_name = "N", default_value_t = 200)]
    checkpoint_every: usize,
    /// The run's folder [default: runs/qat-TIMESTAMP]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue the run in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Say what would be done, and estimate time, memory and disk from a short piece of it; write nothing
    #[arg(long, conflicts_with = "resume")]
    #[serde(default)]
    dry_run: bool,
}

/// Share and temperature of a teacher of whom nothing else is said.
const SHARE: f64 = 0.5;
const TEMPERATURE: f64 = 2.0;
/// The teacher's name if it is the network that training starts from.
const TEACHER_IS_START: &str = "float";

impl QatArgs {
    /// The settings in `recipe`, for the network and data that `input` names.
    pub(crate) fn of_recipe(recipe: &Path, input: &InputArgs) -> Result<Self> {
        let read: Self = settings::from_file("qat", recipe)?;
        let of_table = [("limit", read.limit.is_some()), ("test_limit", read.test_limit.is_some())];
        read.input.expect_none(recipe, &of_table)?;
        let args = Self { input: input.clone(), ..read }.with_init_file()?;
        args.check()?;
        if args.hold_out.is_some() {
            let text = "a table measures every cell on the test images: leave hold_out away";
            return Err(Failure::Usage(format!("{}: {text}", recipe.display())).into());
        }
        Ok(args)
    }

    /// Refuses rules without meaning, and rules that do not go together.
    fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Failure::Usage(text).into());
        if !(0.0..=1.0).contains(&self.teacher_share) {
            return refuse(format!("--teacher-share {}: expected 0 to 1", self.teacher_share));
        }
        if !(1e-3..=1e3).contains(&self.temperature) {
            return refuse(format!(
                "--temperature {}: expected a number from 0.001 to 1000",
                self.temperature
            ));
        }
        for (flag, value, usual) in
            [("--teacher-share", self.teacher_share, SHARE), ("--temperature", self.temperature, TEMPERATURE)]
        {
            if self.teacher.is_none() && value != usual {
                return refuse(format!("{flag} {value}: there is no --teacher"));
            }
        }
        if (1..self.batch).contains(&self.reestimate_images) {
            return refuse(format!(
                "--reestimate-images {}: expected 0, or at least a whole batch of --batch {}",
                self.reestimate_images, self.batch
            ));
        }
        if self.frozen_epochs > 0 && self.reestimate_images > 0 {
            return refuse(format!(
                "--frozen-epochs {}: keeps the statistics of batch norms, which --reestimate-images {} would replace; give one",
                self.frozen_epochs, self.reestimate_images
            ));
        }
        self.rules.check()?;
        self.learn_bits.check(self.rules.weight_step, self.rules.freezing > 0.0)
    }

    /// The widths and the scale rule of the weights.
    pub(crate) fn asks_for(&self) -> (Widths, ScaleRule) {
        (self.widths.bits, self.widths.method)
    }

    /// `--layer-bits` of a run that keeps the bits that this one has learned.
    fn with_learned(&self, learned: &LayerBits) -> LayerBits {
        self.widths.layer_bits.iter().cloned().chain([learned.clone()]).collect()
    }

    /// Quantization without training, to compare with.
    fn post_training(&self) -> Recipe {
        Recipe {
            widths: self.widths.clone(),
            granularity: self.rules.weight_granularity,
            activation_rule: ActivationRule::Scale(ScaleRule::HEURISTIC),
            source: CalibrationSource::Images,
            images: self.calibration_images,
            correction: Step::BatchNorm.into(),
            iterations: None,
        }
    }
}

/// Trains to the end, or until Ctrl-C.
///
/// # Errors
/// If network or data cannot be read, the folder cannot be written to, or the run diverges.
pub fn run(args: QatArgs, context: &Context) -> Result<()> {
    let given = args; // as a resumed run may say it again
    let args = given.clone().with_init_file()?;
    let recipe = args.post_training();
    recipe.check()?;
    args.check()?;
    let setup = Setup::open(context, &args.input, args.limit, args.test_limit)?;
    let setup = setup.holding_out(args.hold_out.map(|count| count as usize))?;
    args.check_layers(&setup.network)?;
    let training = args.training(context, &setup)?;
    training.check()?;
    if args.dry_run {
        return forecast::show(&args, context, &setup, &training);
    }
    let init = args.init(context, &setup)?;
    let folder = match &args.resume {
        Some(folder) => RunFolder::open(folder)?,
        None => RunFolder::create(context, args.out.as_deref(), &given)?,
    };
    interrupt::at_once(format!("what was saved before stays; continue with `{}`", folder.resume(context)));
    folder.pin(context, &[setup.files(), args.files()].concat())?;
    let float = setup.float(context)?;
    let top1_float = float.top1();
    context.note(format_args!("float            top-1 {top1_float:.2}%"));
    let post_training = recipe.quantize(context, &setup)?;
    let (ptq, ptq_answers) = Scores::with_answers(context, &post_training, &setup.test)?;
    context.note(format_args!(
        "PTQ {:<12} top-1 {:.2}% in integers",
        args.widths.bits.to_string(),
        ptq.top1_int
    ));

    let start = args.start(context, &setup, init)?;
    let command = settings::command(&context.verb, context.seed, &args)?;
    let commands = Commands { run: command.clone(), resume: folder.resume(context) };
    let outcome = train(context, &setup, start, training, &folder, &commands)?;
    interrupt::at_once(format!("all epochs are saved; `{}` measures and reports", commands.resume));
    let (scores, answers) = Scores::with_answers(context, &outcome.last, &setup.test)?;
    let top1_best = match setup.held_out {
        Some(_) => in_integers(context, &outcome.best, &setup.test)?.top1(),
        None => outcome.best().0,
    };
    let model = save_last(&folder, &outcome, scores.top1_int, context.seed, &command)?;

    let row = |what: &str, network, scores, bytes| {
        page::Row::quantized(
            format!("{what} {}", args.widths.bits),
            args.widths.method,
            network,
            scores,
            bytes,
        )
    };
    let trained = row("QAT", &outcome.last, (scores, &answers), file_bytes(&model)?);
    let rows = vec![
        page::Row::float(&float, &setup.network)?,
        row("PTQ", &post_training, (ptq, &ptq_answers), post_training.model_bytes(&[])?.len()),
        trained.with_file(&folder, &latent_path(&model)),
    ];
    context.say(page::table(&rows))?;
    folder.write("curve.svg", outcome.curve().as_bytes())?;
    let report = page::write(context, &folder, (&setup).into(), &command, rows, None)?;
    finish(&args, context, &setup, &outcome, (scores, top1_best), (&model, &report))?;
    context.result(&json!({
        "top1_float": top1_float,
        "top1_ptq": ptq.top1_int,
        "top1_int": scores.top1_int,
        "top1_layers": scores.top1_layers,
        "top1_simulated": scores.top1_simulated,
        "agreement": scores.agreement,
        "max_logit_difference": scores.max_logit_difference,
        "top1_as_trained": scores.top1_as_trained,
        "agreement_as_trained": scores.agreement_as_trained,
        "top1_last": scores.top1_int,
        "top1_best": top1_best,
        "held_out": setup.held_out.as_ref().map(|held_out| json!({
            "images": held_out.images(), "top1_last": outcome.top1_last(), "top1_best": outcome.best().0,
        })),
        "epoch_best": outcome.best().1,
        "images_per_s": outcome.images_per_s(),
        "images": scores.images,
        "bits": args.widths.bits,
        "layer_bits": args.widths.layer_bits,
        "learned_bits": outcome.learned_bits.as_ref().map(|learned| args.with_learned(learned)),
        "method": args.widths.method,
        "weight_granularity": args.rules.weight_granularity,
        "policy": args.widths.policy,
        "residual_bits": args.widths.residual_bits,
        "epochs": args.epochs,
        "seed": context.seed,
        "model_bytes": file_bytes(&model)?,
        "packed_bytes": outcome.last.quantization.packed_bytes(&outcome.last.network.params),
        "model": model,
        "model_last": model,
        "model_best": outcome.model,
        "latent": latent_path(&model),
        "report": report,
        "run": folder.folder(),
    }))
}
