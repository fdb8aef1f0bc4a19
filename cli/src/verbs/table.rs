//! `table`: Table 1, bits x (PTQ, QAT) x scale rule of the weights, cell by cell.
//!
//! ```text
//! FOLDER/
//!     config.toml                   the settings; `--resume FOLDER` fills the cells that are missing
//!     cells/QAT_W4A4_sawb.json      a finished cell, written as a whole
//!     cells/QAT_W4A4_sawb/          the cell's run: state and metrics of QAT, the model, its recipe (recipe.toml)
//!     table.md  table.json          all finished cells
//! ```
//!
//! A column is a scale rule of the weights, trained as the flags say; or, with `--recipes DIR`, any NAME for which there are
//! files `DIR/qat_w4a4_NAME.toml` or `DIR/ptq_w4a4_NAME.toml`, settings of `cli qat` and `cli ptq`: that is how each width
//! gets the method that suits it best. A second table says which that was, without training and with it.
//!
//! A table has one policy. It replaces that of a recipe, whose other settings hold; bits of single layers (`layer_bits`) are
//! exceptions from either. Recipes, and the networks that they start or learn from, are among the files that a table began
//! with: others are refused by `--resume` and `merge`.
//!
//! PTQ comes in two recipes. `--ptq plain` is the assignment's: activations by their largest value, nothing corrected.
//! `--ptq best` clips activations for the least squared error and shifts the batch norms' statistics by what rounding did.

mod cell;
mod checks;
mod layout;
mod merge;
mod places;
mod written;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use quant::{Policy, Widths};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::Training;
use crate::run::experiment::{BASIS, Pace, Setup, page, residual_bits};
use crate::run::forecast::Forecast;
use crate::run::input::InputArgs;
use crate::run::run_folder::RunFolder;
use crate::run::shard::{MergeArgs, Shard};
use crate::{run::interrupt, run::settings};
use cell::{cell, pin, planned};
use places::Place;

/// What else `table` does.
#[derive(Subcommand, Clone, Debug)]
enum Then {
    /// Put the shards of a table together, and fill what is missing
    Merge {
        #[command(flatten)]
        merge: MergeArgs,
        /// Where their recipes lie here, if not where the first of them found them
        #[arg(long = "recipes", id = "recipes_here", value_name = "DIR")]
        recipes: Option<PathBuf>,
    },
}

/// Settings of `table`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(args_conflicts_with_subcommands = true)]
pub struct TableArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    /// Rows: bits of weights and activations
    #[arg(long, value_name = "WxAy,...", value_delimiter = ',', default_value = "W8A8,W4A4,W8A2,W2A8,W2A2")]
    bits: Vec<Widths>,
    /// Columns: scale rules of the weights, or other names of recipes
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "sawb,symmetric")]
    methods: Vec<String>,
    /// Columns: with or without training
    #[arg(long, value_enum, value_delimiter = ',', default_value = "ptq,qat")]
    modes: Vec<CellMode>,
    /// course: all layers but the first; product: all layers, the first and the last with 8 bits. Of every cell, whatever
    /// its recipe says
    #[arg(long, value_name = "NAME", default_value = "course")]
    policy: Policy,
    /// Bits of residual sums and the average pool, for policy product [default: the recipe's, else 8]
    #[arg(long, alias = "stream-bits", value_name = "N", value_parser = residual_bits())]
    residual_bits: Option<u32>,
    /// How PTQ calibrates
    #[arg(long, value_enum, default_value_t = Ptq::Best)]
    ptq: Ptq,
    /// Training images to calibrate on
    #[arg(long, value_name = "N", default_value_t = CALIBRATION_IMAGES)]
    calibration_images: usize,
    /// Train every QAT cell with these seeds too: mean and standard deviation of the last epochs are shown
    #[arg(long, value_name = "N,...", value_delimiter = ',',
          value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))] // TOML's largest integer
    #[serde(default)]
    seeds: Vec<u64>,
    /// Folder of recipes: a cell takes its settings from qat_WxAy_NAME.toml or ptq_WxAy_NAME.toml and, of the flags, only --policy,
    /// --residual-bits, --limit and --test-limit
    #[arg(long, value_name = "DIR")]
    recipes: Option<PathBuf>,
    /// Passes over the training images of each QAT cell
    #[arg(long, value_name = "N", default_value_t = EPOCHS)]
    epochs: usize,
    /// First learning rate of QAT
    #[arg(long, value_name = "RATE", default_value_t = LR)]
    lr: f64,
    /// Decay of the average of the weights in QAT; 0: no average
    #[arg(long, value_name = "DECAY", default_value_t = EMA)]
    ema: f64,
    /// Only the first N training images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Only the first N test images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    test_limit: Option<u32>,
    /// Fill only a share of the cells, the i-th of n; `table merge` puts them together
    #[arg(long, value_name = "i/n")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
    #[command(subcommand)]
    #[serde(skip)]
    then: Option<Then>,
    /// The table's folder [default: runs/table-TIMESTAMP]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Fill the missing cells of the table in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Say what would be done, and estimate time, memory and disk from a short piece of it; write nothing
    #[arg(long, conflicts_with = "resume")]
    #[serde(default)]
    dry_run: bool,
}

/// On how many images cells without a recipe are calibrated, where the flags say nothing else.
const CALIBRATION_IMAGES: usize = 1000;
/// How QAT cells without a recipe are trained, where the flags say nothing else.
const EPOCHS: usize = 8;
const LR: f64 = 0.01;
const EMA: f64 = 0.95;

impl TableArgs {
    /// How QAT cells without a recipe are trained.
    fn training(&self) -> Training {
        Training {
            epochs: self.epochs,
            batch: 128,
            lr: self.lr,
            weight_decay: 1e-4,
            smoothing: 0.0,
            ema: self.ema,
            checkpoint_every: 200,
            teacher: None,
            frozen_epochs: 0,
            reestimate_images: 0,
            size_goal: None,
        }
    }
}

/// With or without training.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum CellMode {
    /// Post-training quantization.
    Ptq,
    /// Quantization-aware training.
    Qat,
}

impl CellMode {
    fn name(self) -> &'static str {
        match self {
            Self::Ptq => "PTQ",
            Self::Qat => "QAT",
        }
    }
}

/// How PTQ calibrates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Ptq {
    /// Activations by their largest value, nothing corrected: the assignment's
    Plain,
    /// Activations clipped for the least squared error, batch norm statistics shifted by what rounding did
    Best,
}

/// `--dry-run`: every cell in small.
fn forecast(args: &TableArgs, context: &Context, setup: &Setup) -> Result<()> {
    let (pace, mut forecast) = (Pace::new(context, setup), Forecast::new(BASIS));
    pace.float(&mut forecast)?;
    let places = args.places(context.seed);
    let own = args.own(&places);
    let mut last = None;
    for place in places.into_iter().zip(own).filter_map(|(place, own)| own.then_some(place)) {
        last = cell::forecast(args, context, setup, (&pace, &mut forecast), place)?.or(last);
    }
    // The page shows one of them, whose answers are asked for once more.
    if let Some(shown) = last {
        pace.accuracy(&mut forecast, &shown)?;
        pace.page(&mut forecast, &shown)?;
    }
    forecast.show(context)
}

/// Fills the table.
///
/// # Errors
/// If network or data cannot be read, the folder cannot be written to, or a cell's run diverges.
pub fn run(args: TableArgs, context: &Context) -> Result<()> {
    match &args.then {
        None => fill(&args, context, &[]),
        Some(Then::Merge { merge, recipes }) => {
            let (whole, seed) = merge.settings("table", |args: &mut TableArgs| args.shard = None)?;
            let input = merge.input(whole.input);
            let recipes = recipes.clone().or(whole.recipes);
            let whole = TableArgs { input, recipes, out: merge.out(), ..whole };
            fill(&whole, &context.with_seed(seed), merge.shards())
        }
    }
}

/// A table, or a shard of one; the cells that are finished in the folders `shards` are taken from there.
fn fill(args: &TableArgs, context: &Context, shards: &[PathBuf]) -> Result<()> {
    checks::check(args, context)?;
    let setup = Setup::open(context, &args.input, args.limit, args.test_limit)?;
    let plan = planned(args, context.seed)?;
    if plan.iter().all(|cell| cell.is_none()) {
        let text = "no cell is asked for: the methods have recipes in --recipes, but not for these --modes";
        return Err(Failure::Usage(text.into()).into());
    }
    plan.iter().try_for_each(|cell| cell.check_layers(&setup.network))?;
    for (flag, why) in checks::idle(args, &plan) {
        context.note(format_args!("note: {flag} has no effect: {why}"));
    }
    if args.dry_run {
        return forecast(args, context, &setup);
    }
    let folder = match &args.resume {
        Some(folder) => RunFolder::open(folder)?,
        None => RunFolder::create(context, args.out.as_deref(), args)?,
    };
    let resume = folder.resume(context);
    interrupt::at_once(format!("finished cells are saved; continue with `{resume}`"));
    pin(&plan, context, &setup, &folder)?;
    merge::take_cells(&folder, shards)?;
    let float = setup.float(context)?;
    let top1_float = float.top1();
    context.note(format_args!("float top-1 {top1_float:.2}%"));
    let mut cells = Vec::new();
    let own = args.own(&args.places(context.seed));
    for planned in plan.into_iter().zip(own).filter_map(|(planned, own)| own.then_some(planned)) {
        let Some(cell) = cell(args, context, &setup, &folder, planned)? else { continue };
        context.note(format_args!("{} {} {}: {:.2}%", cell.mode.name(), cell.bits, cell.method, cell.top1));
        cells.push(cell);
        written::write(args, context, &folder, top1_float, &cells)?;
    }
    match args.shard.filter(|_| cells.is_empty()) {
        None => context.say(written::text(args, top1_float, &cells))?,
        Some(shard) => context.say(format_args!("shard {shard}: no cell of this table is its share"))?,
    }
    let command = settings::command(&context.verb, context.seed, args)?;
    let mut rows = vec![page::Row::float(&float, &setup.network)?];
    // Of equals the first.
    if let Some(best) = cells.iter().rev().max_by(|a, b| a.top1.total_cmp(&b.top1)) {
        rows.extend(best.row(context, &setup, &folder)?);
    }
    let report = page::write(context, &folder, (&setup).into(), &command, rows, None)?;
    if !cells.is_empty() {
        context.say(format_args!("table   {}", folder.path("table.md").display()))?;
    }
    context.say(format_args!("report  {}", report.display()))?;
    context.result(&json!({
        "top1_float": top1_float,
        "cells": cells,
        "policy": args.policy,
        "seed": context.seed,
        "report": report,
        "run": folder.folder(),
    }))
}
