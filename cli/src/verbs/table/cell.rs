//! One cell of Table 1: quantized, trained where the cell says so, measured in integers, saved.

use std::path::{Path, PathBuf};

use anyhow::Result;
use quant::{ActivationRule, Granularity, ScaleRule, Sequence, Step, Widths};
use serde::{Deserialize, Serialize};

use super::{CellMode, Ptq, TableArgs};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::aware::{Commands, train};
use crate::run::experiment::{CalibrationSource, Recipe, Scores, Setup, file_bytes, model_name};
use crate::run::input::InputArgs;
use crate::run::run_folder::RunFolder;
use crate::verbs::qat::QatArgs;
use crate::{run::interrupt, run::settings};

/// A finished cell.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Cell {
    pub(super) bits: Widths,
    pub(super) mode: CellMode,
    pub(super) method: String,
    /// Of the integer layers, percent; of QAT, after the last epoch.
    pub(super) top1: f64,
    /// Of QAT, after the best epoch, chosen on the test images: not a measurement of what a user would get.
    #[serde(default)]
    pub(super) top1_best: Option<f64>,
    /// That epoch.
    pub(super) epoch_best: Option<usize>,
    pub(super) top1_simulated: f64,
    pub(super) agreement: f64,
    pub(super) images: usize,
    pub(super) seed: u64,
    /// Size of the model file.
    #[serde(alias = "packed_bytes")]
    pub(super) model_bytes: usize,
    pub(super) model: PathBuf,
}

/// A cell: read back where it is finished, else computed. `None` if there is no such cell: a method that is no scale rule is
/// one of training only.
pub(super) fn cell(
    args: &TableArgs,
    context: &Context,
    setup: &Setup,
    folder: &RunFolder,
    (bits, mode, method): (Widths, CellMode, &str),
) -> Result<Option<Cell>> {
    let name = format!("{}_{bits}_{method}", mode.name());
    let file = PathBuf::from("cells").join(format!("{name}.json"));
    if let Ok(text) = std::fs::read_to_string(folder.path(&file)) {
        let broken = |e| Failure::BadInput(format!("{}: {e}; delete it", folder.path(&file).display()));
        return Ok(Some(serde_json::from_str(&text).map_err(broken)?));
    }
    let recipe_file = match (mode, &args.recipes) {
        (CellMode::Qat, Some(folder)) => Some(qat_recipe(folder, bits, method)?),
        _ => None,
    };
    let rule = match (ScaleRule::parse(method), &recipe_file) {
        (_, Some(recipe)) => QatArgs::of_recipe(recipe, &args.input)?.asks_for().1,
        (Ok(rule), None) => rule,
        (Err(_), None) if mode == CellMode::Ptq && args.recipes.is_some() => return Ok(None),
        (Err(e), None) => return Err(Failure::Usage(format!("--methods: {e}; others need --recipes")).into()),
    };
    let clip = ActivationRule::Scale(ScaleRule::HEURISTIC);
    let (activation_rule, correction) = match (mode, args.ptq) {
        (CellMode::Ptq, Ptq::Plain) => (ActivationRule::Scale(ScaleRule::SYMMETRIC), Sequence::default()),
        _ => (clip, Step::BatchNorm.into()),
    };
    let images = args.calibration_images;
    let recipe = Recipe {
        bits,
        method: rule,
        granularity: Granularity::PerTensor,
        policy: args.policy,
        activation_rule,
        source: CalibrationSource::Images,
        images,
        correction,
        iterations: None,
        residual_bits: args.residual_bits,
    };
    recipe.check()?;
    let place = folder.path(PathBuf::from("cells").join(&name));
    let run = if place.join("config.toml").exists() {
        RunFolder::open(&place)?
    } else {
        RunFolder::create(context, Some(&place), args)?
    };
    let resume = format!("cli table --resume {}", folder.folder().display());
    let stopped = format!("finished cells and epochs are saved; continue with `{resume}`");
    interrupt::at_once(&stopped);
    let command = settings::command(&context.verb, context.seed, args)?;
    let (quantized, best) = match mode {
        CellMode::Ptq => (recipe.quantize(context, setup)?, None),
        CellMode::Qat => {
            let (start, training) = match &recipe_file {
                Some(file) => {
                    let qat = QatArgs::of_recipe(file, &args.input)?;
                    (qat.start(context, setup)?, qat.training(context)?)
                }
                None => (recipe.quantize(context, setup)?, args.training()),
            };
            training.check()?;
            let commands = Commands { run: command.clone(), resume };
            let outcome = train(context, setup, start, training, &run, &commands)?;
            interrupt::at_once(&stopped);
            let best = outcome.best();
            (outcome.last, Some(best))
        }
    };
    let scores = Scores::measure(context, &quantized, &setup.test)?;
    let model = run.path(model_name(setup.network.depth, bits));
    let facts = [
        ("test_accuracy", format!("{:.2}", scores.top1_int)),
        ("test_images", scores.images.to_string()),
        ("seed", context.seed.to_string()),
        ("command", command),
    ];
    quantized.save(&model, &facts)?;
    let cell = Cell {
        bits,
        mode,
        method: method.to_owned(),
        top1: scores.top1_int,
        top1_best: best.map(|(top1, _)| top1),
        epoch_best: best.map(|(_, epoch)| epoch),
        top1_simulated: scores.top1_simulated,
        agreement: scores.agreement,
        images: scores.images,
        seed: context.seed,
        model_bytes: file_bytes(&model)?,
        model,
    };
    folder.write(&file, serde_json::to_string_pretty(&cell)?.as_bytes())?;
    Ok(Some(cell))
}

/// The settings of `method` at `bits` in a folder of recipes.
fn qat_recipe(folder: &Path, bits: Widths, method: &str) -> Result<PathBuf> {
    let path = folder.join(format!("qat_{}_{method}.toml", bits.to_string().to_lowercase()));
    if !path.is_file() {
        let text = format!(
            "{}: no such recipe; `cli table --recipes DIR` takes one file for each cell",
            path.display()
        );
        return Err(Failure::BadInput(text).into());
    }
    let (found, _) = QatArgs::of_recipe(&path, &InputArgs::default())?.asks_for();
    if found != bits {
        return Err(
            Failure::BadInput(format!("{}: is a recipe for {found}, not {bits}", path.display())).into()
        );
    }
    Ok(path)
}
