//! `ptq`: a trained network quantized without training.
//!
//! Calibrates on a few training images (or on none: noise, or images distilled from the network, which `calibration.png`
//! shows), makes the corrections asked for, and measures what comes out through the integer layers, with the float
//! simulation beside it. `--ablation` measures what each correction adds, and saves that instead of a model.

mod ablation;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use quant::{ActivationRule, Granularity, Sequence};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::{
    BASIS, CalibrationSource, Pace, Recipe, Scores, Setup, WidthArgs, file_bytes, model_name, page,
};
use crate::run::forecast::Forecast;
use crate::run::input::InputArgs;
use crate::run::run_folder::RunFolder;
use crate::show::contact_sheet::contact_sheet;
use crate::{run::interrupt, run::settings};

/// Settings of `ptq`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct PtqArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    #[command(flatten)]
    #[serde(flatten)]
    widths: WidthArgs,
    /// A scale of weights for each tensor (per_tensor) or output channel (per_channel)
    #[arg(long, value_name = "WHAT", default_value_t = Granularity::PerTensor)]
    weight_granularity: Granularity,
    /// Rule that chooses the range of activations that are never negative: max, mse, percentile, moving_average, ...; others
    /// keep theirs
    #[arg(long, value_name = "RULE", default_value = "heuristic")]
    activation_rule: ActivationRule,
    /// Images to calibrate on
    #[arg(long, value_enum, default_value_t = CalibrationSource::Images)]
    calibration: CalibrationSource,
    /// How many of them
    #[arg(long, value_name = "N", default_value_t = 1000)]
    calibration_images: usize,
    /// What to correct, in this order: none, or equalize, flip, balance (factors and signs between layers or channels), bias_analytic
    /// (means), adaround (learned rounding), bias (means), batch_norm (means and variances), brecq, qdrop (learned rounding), adaquant
    /// (learned weights)
    #[arg(long, value_name = "NAME,..", default_value = "batch_norm")]
    correction: Sequence,
    /// Updates of each layer or block in adaround, brecq, qdrop and adaquant [default: the method's own number]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Measure what each correction adds, alone and in sequence
    #[arg(long)]
    #[serde(default)]
    ablation: bool,
    /// Only the first N test images
    #[arg(long, visible_alias = "test-limit", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Folder of the model and the report [default: runs/ptq-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Say what would be done, and estimate time, memory and disk from a short piece of it; write nothing
    #[arg(long)]
    #[serde(default)]
    dry_run: bool,
}

/// Where synthetic calibration images can be looked at.
const CALIBRATION_SHEET: &str = "calibration.png";
/// The most of them that it shows.
const SHEET_IMAGES: usize = 100;

impl PtqArgs {
    /// The settings in the file `recipe`, for the network and data that `input` names.
    pub(crate) fn of_recipe(recipe: &Path, input: &InputArgs) -> Result<Self> {
        let read: Self = settings::from_file("ptq", recipe)?;
        read.input.expect_none(recipe, &[("limit", read.limit.is_some()), ("ablation", read.ablation)])?;
        let args = Self { input: input.clone(), ..read };
        args.check()?;
        Ok(args)
    }

    /// Refuses what would have no effect.
    fn check(&self) -> Result<()> {
        if self.iterations.is_none() || self.correction.learns() {
            return Ok(());
        }
        let text = format!("--iterations: none of --correction {} learns", self.correction);
        Err(Failure::Usage(text).into())
    }

    /// What to quantize, and how.
    pub(crate) fn recipe(&self) -> Recipe {
        Recipe {
            widths: self.widths.clone(),
            granularity: self.weight_granularity,
            activation_rule: self.activation_rule,
            source: self.calibration,
            images: self.calibration_images,
            correction: self.correction.clone(),
            iterations: self.iterations,
        }
    }
}

/// `--dry-run`.
fn forecast(context: &Context, setup: &Setup, recipe: &Recipe) -> Result<()> {
    let (pace, mut forecast) = (Pace::new(context, setup), Forecast::new(BASIS));
    pace.float(&mut forecast)?;
    let quantized = pace.quantization(&mut forecast, recipe)?;
    pace.scores(&mut forecast, &quantized)?;
    pace.page(&mut forecast, &quantized)?;
    forecast.show(context)
}

/// Quantizes, measures, saves.
///
/// # Errors
/// If network or data cannot be read, or the folder cannot be written to.
pub fn run(args: PtqArgs, context: &Context) -> Result<()> {
    args.check()?;
    let recipe = args.recipe();
    recipe.check()?;
    args.correction
        .idle(args.weight_granularity)
        .iter()
        .for_each(|text| context.note(format_args!("{text}")));
    let setup = Setup::open(context, &args.input, None, args.limit)?;
    recipe.check_layers(&setup.network)?;
    if args.dry_run {
        return forecast(context, &setup, &recipe);
    }
    let folder = RunFolder::create(context, args.out.as_deref(), &args)?;
    interrupt::at_once(format!(
        "nothing is saved yet; begin again with the same command ({} may be used again)",
        folder.folder().display()
    ));
    let float = setup.float(context)?;
    let top1_float = float.top1();
    let command = settings::command(&context.verb, context.seed, &args)?;
    if args.ablation {
        return ablation::run(context, &setup, &recipe, &float, (&folder, &command));
    }
    let images = recipe.calibration(context, &setup, &setup.network)?;
    if args.calibration != CalibrationSource::Images {
        let sheet = folder.write(CALIBRATION_SHEET, &contact_sheet(&images.set, SHEET_IMAGES)?)?;
        context.note(format_args!("calibration images: {}", sheet.display()));
    }
    let quantized = recipe.quantize_on(context, &setup.network, &images)?;
    let (scores, integers) = Scores::with_answers(context, &quantized, &setup.test)?;

    let facts = [
        ("test_accuracy", format!("{:.2}", scores.top1_int)),
        ("test_images", scores.images.to_string()),
        ("seed", context.seed.to_string()),
        ("command", command.clone()),
    ];
    let model = folder.path(model_name(&quantized));
    let latent = quantized.save(&model, &facts)?;
    let model_bytes = file_bytes(&model)?;

    let float_row = page::Row::float(&float, &setup.network)?;
    let name = format!("PTQ {}", args.widths.bits);
    let row = page::Row::quantized(name, args.widths.method, &quantized, (scores, &integers), model_bytes);
    let rows = vec![float_row, row.with_file(&folder, &latent)];
    context.say(page::table(&rows))?;
    context.say(scores)?;
    let report = page::write(context, &folder, (&setup).into(), &command, rows, None)?;
    context.say(format_args!("model   {}", model.display()))?;
    context.say(format_args!("report  {}", report.display()))?;
    context.result(&json!({
        "top1_float": top1_float,
        "top1_int": scores.top1_int,
        "top1_layers": scores.top1_layers,
        "top1_simulated": scores.top1_simulated,
        "agreement": scores.agreement,
        "max_logit_difference": scores.max_logit_difference,
        "top1_as_trained": scores.top1_as_trained,
        "agreement_as_trained": scores.agreement_as_trained,
        "images": scores.images,
        "bits": args.widths.bits,
        "layer_bits": args.widths.layer_bits,
        "method": args.widths.method,
        "weight_granularity": args.weight_granularity,
        "policy": args.widths.policy,
        "residual_bits": args.widths.residual_bits,
        "activation_rule": args.activation_rule,
        "correction": args.correction,
        "seed": context.seed,
        "model_bytes": model_bytes,
        "packed_bytes": quantized.quantization.packed_bytes(&quantized.network.params),
        "model": model,
        "latent": latent,
        "report": report,
    }))
}
