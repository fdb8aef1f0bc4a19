//! What a cell of the table has to do, by the flags or by a recipe's file, read once.
//!
//! A table has one policy, and a recipe does not decide it: what the file says of the method and the training holds, under the
//! policy of the table. So `models/recipes`, which say `course`, make a table of policy `product` too.

use std::path::{Path, PathBuf};

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
        if let Some(file) = recipe_file(args, bits, mode, name) {
            if file.is_file() {
                return Self::by_recipe(args, bits, mode, &file).map(Some);
            }
            let is_rule = ScaleRule::parse(name).is_ok();
            if !is_rule || mode == CellMode::Qat {
                let elsewhere = !is_rule && has_recipe(args, name);
                return if elsewhere { Ok(None) } else { Err(missing(&file)) };
            }
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

    /// What the recipe in `file` says, under the table's policy.
    fn by_recipe(args: &TableArgs, bits: Widths, mode: CellMode, file: &Path) -> Result<Self> {
        let of_file = |e: anyhow::Error| e.context(file.display().to_string());
        Ok(match mode {
            CellMode::Qat => {
                let qat = QatArgs::of_recipe(file, &args.input)?;
                meant_for(qat.asks_for().0, bits, file)?;
                let qat = qat.in_table(args.policy, args.residual_bits).map_err(of_file)?;
                Self::Qat(Box::new(qat))
            }
            CellMode::Ptq => {
                let recipe = PtqArgs::of_recipe(file, &args.input)?.recipe();
                meant_for(recipe.widths.bits, bits, file)?;
                let widths = recipe.widths.under(args.policy, args.residual_bits);
                let recipe = Recipe { widths, ..recipe };
                recipe.check().map_err(of_file)?;
                Self::Quantize(recipe)
            }
        })
    }

    /// Adds what there is to do, and gives a network like the one that comes of it.
    pub(super) fn forecast(
        &self,
        context: &Context,
        setup: &Setup,
        pace: &Pace<'_>,
        forecast: &mut Forecast,
    ) -> Result<QuantizedNetwork> {
        let quantized = match self {
            Self::Quantize(recipe) => pace.quantization(forecast, recipe)?,
            Self::Train(recipe, training) => {
                let start = pace.quantization(forecast, recipe)?;
                pace.training(forecast, &start, training)?;
                start
            }
            Self::Qat(qat) => {
                let training = qat.training(context, setup)?;
                training.check()?;
                qat.forecast(forecast, context, setup, pace, &training)?
            }
        };
        pace.scores(forecast, &quantized)?;
        Ok(quantized)
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
                (qat.start(context, setup, qat.init(context, setup)?)?, Some(training))
            }
        })
    }
}

/// The file that a cell's recipe would have, whether it is there or not; `None` without `--recipes`.
pub(super) fn recipe_file(args: &TableArgs, bits: Widths, mode: CellMode, name: &str) -> Option<PathBuf> {
    let file = format!("{}_{bits}", mode.name()).to_lowercase();
    args.recipes.as_ref().map(|folder| folder.join(format!("{file}_{name}.toml")))
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
pub(in super::super) fn has_recipe(args: &TableArgs, name: &str) -> bool {
    let files = args.recipes.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten();
    let mut names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
    names.any(|file| is_recipe(&file, name))
}

/// Whether a file is the recipe of this name for any cell: `qat_w4a4_NAME.toml`, but not `qat_mixed_NAME.toml`.
fn is_recipe(file: &str, name: &str) -> bool {
    let cell = file.strip_suffix(&format!("_{name}.toml"));
    let bits = cell.and_then(|cell| cell.strip_prefix("ptq_").or_else(|| cell.strip_prefix("qat_")));
    bits.is_some_and(|bits| bits.to_uppercase().parse::<Widths>().is_ok())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_of_other_bits_is_of_no_cell() {
        for (file, is_of_lsq) in [
            ("qat_w4a4_lsq.toml", true),
            ("ptq_w8a2_lsq.toml", true),
            ("qat_mixed_66k_lsq.toml", false),
            ("qat_w4a4_my_lsq.toml", false),
            ("w4a4_lsq.toml", false),
            ("qat_w4a4_lsq.txt", false),
        ] {
            assert_eq!(is_recipe(file, "lsq"), is_of_lsq, "{file}");
        }
    }
}
