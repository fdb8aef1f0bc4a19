//! One cell of Table 1: quantized, trained where the cell says so, measured in integers, saved.

mod plan;
mod work;

use std::path::PathBuf;

use anyhow::Result;
use models::QuantizedNetwork;
use models::formats::latent_path;
use quant::Widths;
use serde::{Deserialize, Serialize};

use super::{CellMode, Place, TableArgs};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::aware::{Commands, saved, train};
use crate::run::experiment::{Pace, Scores, Setup, file_bytes, model_name, page};
use crate::run::forecast::Forecast;
use crate::run::run_folder::RunFolder;
use crate::{run::interrupt, run::settings};
pub(super) use plan::{Planned, pin, planned};
use work::Work;
pub(super) use work::has_recipe;

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

impl Cell {
    /// The cell's network as the page takes it apart; measured once more, because a cell keeps no answers. `None` if its file is
    /// gone, as the shards of a merged table may be.
    ///
    /// # Errors
    /// If the file is damaged.
    pub(super) fn row(
        &self,
        context: &Context,
        setup: &Setup,
        folder: &RunFolder,
    ) -> Result<Option<page::Row>> {
        let latent = latent_path(&self.model);
        if !latent.exists() {
            return Ok(None);
        }
        let network = saved(&self.model)?;
        let (scores, answers) = Scores::with_answers(context, &network, &setup.test)?;
        let name = format!("{} {} {}", self.mode.name(), self.bits, self.method);
        let rule = network.quantization.config.weight_rule;
        let row = page::Row::quantized(name, rule, &network, (scores, &answers), self.model_bytes);
        Ok(Some(row.with_file(folder, &latent)))
    }
}

/// Refuses a cell that cannot be: a method that is neither a rule nor a recipe, a recipe for other widths.
///
/// # Errors
/// Saying which.
pub(super) fn check(args: &TableArgs, (bits, mode, method, _): Place<'_>) -> Result<()> {
    Work::of(args, bits, mode, method).map(|_| ())
}

/// Adds what the cell takes, if there is such a cell, and gives a network like its own.
pub(super) fn forecast(
    args: &TableArgs,
    context: &Context,
    setup: &Setup,
    (pace, forecast): (&Pace<'_>, &mut Forecast),
    (bits, mode, method, _): Place<'_>,
) -> Result<Option<QuantizedNetwork>> {
    let work = Work::of(args, bits, mode, method)?;
    work.map(|work| work.forecast(context, setup, pace, forecast)).transpose()
}

/// The recipe by which a cell was computed, as it was written, in the cell's folder.
const RECIPE_COPY: &str = "recipe.toml";

/// A cell: read back where it is finished, else computed. `None` if there is no such cell: a method that is no scale rule is
/// one of training only.
pub(super) fn cell(
    args: &TableArgs,
    context: &Context,
    setup: &Setup,
    folder: &RunFolder,
    planned: Planned<'_>,
) -> Result<Option<Cell>> {
    let Planned { place: (bits, mode, method, seed), work, text, .. } = planned;
    let context = &context.with_seed(seed);
    let more = if args.seeds.contains(&seed) { format!("_seed{seed}") } else { String::new() };
    let name = format!("{}_{bits}_{method}{more}", mode.name());
    let file = PathBuf::from("cells").join(format!("{name}.json"));
    let place = folder.path(PathBuf::from("cells").join(&name));
    if let Ok(text) = std::fs::read_to_string(folder.path(&file)) {
        let broken = |e| Failure::BadInput(format!("{}: {e}; delete it", folder.path(&file).display()));
        let mut cell: Cell = serde_json::from_str(&text).map_err(broken)?;
        // Where the table is now: it may have been moved, or gone on with from another folder.
        cell.model = place.join(cell.model.file_name().unwrap_or_default());
        return Ok(Some(cell));
    }
    let Some(work) = work else { return Ok(None) };
    let run = if place.join("config.toml").exists() {
        RunFolder::open(&place)?
    } else {
        RunFolder::create(context, Some(&place), args)?
    };
    if let Some(recipe) = text {
        run.write(RECIPE_COPY, recipe.as_bytes())?;
    }
    let resume = folder.resume(context);
    let stopped = format!("finished cells and epochs are saved; continue with `{resume}`");
    interrupt::at_once(&stopped);
    // A cell does not depend on who computes it, and so it names the whole table's command.
    let whole = TableArgs { shard: None, ..args.clone() };
    let command = settings::command(&context.verb, context.seed, &whole)?;
    let (start, training) = work.begin(context, setup)?;
    let (quantized, best) = match training {
        None => (start, None),
        Some(training) => {
            let commands = Commands { run: command.clone(), resume };
            let outcome = train(context, setup, start, training, &run, &commands)?;
            interrupt::at_once(&stopped);
            let best = outcome.best();
            (outcome.last, Some(best))
        }
    };
    let scores = Scores::measure(context, &quantized, &setup.test)?;
    let model = run.path(model_name(&quantized));
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
