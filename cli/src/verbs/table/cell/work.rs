//! What a cell of the table has to do, by the flags or by a recipe's file, read once.

use std::path::Path;

use anyhow::Result;
use models::QuantizedNetwork;
use quant::{ActivationRule, Granularity, ScaleRule, Sequence, Step, Widths};

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::Training;
use crate::run::experiment::{CalibrationSource, Pace, Recipe, Setup, WidthArgs};
use crate::run::forecast::Forecast;
use crate::verbs::ptq::PtqArgs;
use crate::verbs::qat::QatArgs;
use crate::verbs::table::{CellMode, Ptq, TableArgs};

/// What a cell has to do.
pub(super) enum Work {
    /// Quantize: by the flags, or by `ptq_WxAy_NAME.toml`.
    Quantize(Recipe),
    /// Quantize, then train as the flags say.
    Train(Recipe, Training),
    /// Train by `qat_WxAy_NAME.toml`.
    Qat(Box<QatArgs>),
}

impl Work {
    /// Looks up the cell's recipe, or takes the flags. `None` if there is no such cell: `name` is no scale rule, and only other
    /// cells have a recipe of it.
    ///
    /// # Errors
    /// If the recipe is missing, broken or meant for other widths, or if `name` is neither a rule nor a recipe.
    pub(super) fn of(args: &TableArgs, bits: Widths, mode: CellMode, name: &str) -> Result<Option<Self>> {
        let file = |verb: &str| {
            let name = format!("{verb}_{}_{name}.toml", bits.to_string().to_lowercase());
            args.recipes.as_ref().map(|folder| folder.join(name))
        };
        let (ptq, qat) = (file("ptq"), file("qat"));
        match (mode, ptq, qat) {
            (CellMode::Qat, _, Some(file)) if file.is_file() => {
                let qat = QatArgs::of_recipe(&file, &args.input)?;
                meant_for(qat.asks_for().0, bits, &file)?;
                return Ok(Some(Self::Qat(Box::new(qat))));
            }
            (CellMode::Ptq, Some(file), _) if file.is_file() => {
                let recipe = PtqArgs::of_recipe(&file, &args.input)?.recipe();
                meant_for(recipe.widths.bits, bits, &file)?;
                recipe.check()?;
                return Ok(Some(Self::Quantize(recipe)));
            }
            (CellMode::Ptq, Some(_), Some(_)) if ScaleRule::parse(name).is_ok() => {}
            (_, Some(ptq), Some(qat)) => {
                let elsewhere = ScaleRule::parse(name).is_err() && has_recipe(args, name);
                let wanted = if mode == CellMode::Qat { qat } else { ptq };
                return if elsewhere { Ok(None) } else { Err(missing(&wanted)) };
            }
            _ => {}
        }
        let rule = ScaleRule::parse(name)
            .map_err(|e| Failure::Usage(format!("--methods: {e}; others need --recipes")))?;
        let recipe = by_flags(args, bits, mode, rule);
        recipe.check()?;
        Ok(Some(match mode {
            CellMode::Ptq => Self::Quantize(recipe),
            CellMode::Qat => {
                let training = args.training();
                training.check()?;
                Self::Train(recipe, training)
            }
        }))
    }

    /// Adds what there is to do.
    pub(super) fn forecast(
        &self,
        context: &Context,
        setup: &Setup,
        pace: &Pace<'_>,
        forecast: &mut Forecast,
    ) -> Result<()> {
        match self {
            Self::Quantize(recipe) => {
                let quantized = pace.quantization(forecast, recipe)?;
                pace.scores(forecast, &quantized)
            }
            Self::Train(recipe, training) => {
                let start = pace.quantization(forecast, recipe)?;
                pace.training(forecast, &start, training)?;
                pace.scores(forecast, &start)
            }
            Self::Qat(qat) => {
                let training = qat.training(context, setup)?;
                training.check()?;
                qat.forecast(forecast, context, setup, pace, &training)
            }
        }
    }

    /// The quantized network, and the training that follows.
    pub(super) fn begin(
        self,
        context: &Context,
        setup: &Setup,
    ) -> Result<(QuantizedNetwork, Option<Training>)> {
        Ok(match self {
            Self::Quantize(recipe) => (recipe.quantize(context, setup)?, None),
            Self::Train(recipe, training) => (recipe.quantize(context, setup)?, Some(training)),
            Self::Qat(qat) => {
                let training = qat.training(context, setup)?;
                training.check()?;
                (qat.start(context, setup)?, Some(training))
            }
        })
    }
}

/// The table's own recipe for a scale rule of the weights.
fn by_flags(args: &TableArgs, bits: Widths, mode: CellMode, method: ScaleRule) -> Recipe {
    let (activations, correction) = match (mode, args.ptq) {
        (CellMode::Ptq, Ptq::Plain) => (ScaleRule::SYMMETRIC, Sequence::default()),
        _ => (ScaleRule::HEURISTIC, Step::BatchNorm.into()),
    };
    Recipe {
        widths: WidthArgs {
            bits,
            layer_bits: None,
            method,
            policy: args.policy,
            residual_bits: args.residual_bits,
        },
        granularity: Granularity::PerTensor,
        activation_rule: ActivationRule::Scale(activations),
        source: CalibrationSource::Images,
        images: args.calibration_images,
        correction,
        iterations: None,
    }
}

/// Whether any cell has a recipe of this name.
fn has_recipe(args: &TableArgs, name: &str) -> bool {
    let ending = format!("_{name}.toml");
    let files = args.recipes.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    files.filter_map(|file| file.ok()?.file_name().into_string().ok()).any(|file| file.ends_with(&ending))
}

fn missing(path: &Path) -> anyhow::Error {
    let text = format!("{}: no such recipe; --recipes takes one file for each cell", path.display());
    Failure::BadInput(text).into()
}

fn meant_for(found: Widths, bits: Widths, path: &Path) -> Result<()> {
    if found == bits {
        return Ok(());
    }
    Err(Failure::BadInput(format!("{}: is a recipe for {found}, not {bits}", path.display())).into())
}
