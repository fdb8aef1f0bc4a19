//! `calibrate`: which rule chooses the best scale, and is the error biased?
//!
//! Data sets A (normal) and B (Laplace), or a user's numbers, are quantized (eq 1) and restored (eq 3) under each
//! rule's scale; the mean squared error is set beside that of the best scale there is, found by brute force, and
//! the mean error (the bias) is split into what clipping and what rounding contribute.

mod page;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use engine::Tensor;
use models::data::synthetic::{DEFAULT_SAMPLES, Distribution};
use quant::numbers::analysis::{ErrorReport, error_report};
use quant::scale::{Optimum, Sample, TABLE, optimum};
use quant::{Grid, QParams, ScaleRule, Symmetry, reset_scale_and_zero_point};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::arguments;
use crate::run::context::Context;
use crate::run::interrupt;
use crate::run::run_folder::RunFolder;
use crate::show::histogram::Histogram;
use crate::show::levels::quantized;
use crate::show::text_table::text_table;
use page::{HEAD, report, table, title};

/// Settings of `calibrate`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct CalibrateArgs {
    /// Numbers to quantize, in NumPy's format [default: data sets A and B]
    #[arg(long, value_name = "FILE.npy")]
    input: Option<PathBuf>,
    /// Data sets to draw: A, B, normal, laplace, uniform, gamma:SHAPE, von_mises:KAPPA
    #[arg(
        long,
        value_name = "NAME,..",
        value_delimiter = ',',
        default_value = "A,B",
        conflicts_with = "input"
    )]
    sets: Vec<String>,
    /// Samples of each data set
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SAMPLES as u32, value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    samples: u32,
    /// Widths, 1 to 16
    #[arg(long, value_name = "B,..", value_delimiter = ',', default_value = "8,4,2", value_parser = arguments::width)]
    bits: Vec<u32>,
    /// Rules, of those in the table [default: all]
    #[arg(long, value_name = "RULE,..", value_delimiter = ',')]
    methods: Vec<ScaleRule>,
    /// The grid 0..2^b-1 of activations instead of -2^(b-1)..2^(b-1)-1
    #[arg(long)]
    unsigned: bool,
    /// Folder of plots and report [default: runs/calibrate-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// One line of the table: a data set at one width.
#[derive(Serialize)]
struct Row {
    set: String,
    distribution: String,
    samples: usize,
    bits: u32,
    methods: BTreeMap<&'static str, Method>,
    optimum: Optimum,
}

/// What a rule achieves.
#[derive(Serialize)]
struct Method {
    scale: f32,
    #[serde(flatten)]
    error: ErrorReport,
    #[serde(skip)]
    q: QParams,
}

/// A named sample.
struct Set {
    name: String,
    distribution: String,
    x: Tensor,
}

/// Calibrates, prints, plots.
///
/// # Errors
/// If the input cannot be read or the folder cannot be written to.
pub fn run(args: CalibrateArgs, context: &Context) -> Result<()> {
    let methods = if args.methods.is_empty() { TABLE.to_vec() } else { args.methods.clone() };
    let sets = sets(&args, context.seed)?;
    let folder = RunFolder::create(context, args.out.as_deref(), &args)?;
    interrupt::at_once("nothing is saved yet; begin again with the same command");

    let mut rows = Vec::new();
    for set in &sets {
        for &bits in &args.bits {
            rows.push(row(set, bits, &methods, !args.unsigned)?);
        }
    }
    for row in &rows {
        folder.append_metrics(row)?;
    }
    let report = report(&args, context, &folder, &sets, &methods, &rows)?;

    for set in &sets {
        // The picture of one width: 4 bits where asked for, else the fewest.
        let of_set: Vec<&Row> = rows.iter().filter(|r| r.set == set.name).collect();
        let row =
            of_set.iter().find(|r| r.bits == 4).or(of_set.iter().min_by_key(|r| r.bits)).expect("a width");
        let rule = methods.iter().find(|m| **m == ScaleRule::HEURISTIC).unwrap_or(&methods[0]);
        let levels = quantized(&set.x, &row.methods[rule.name].q)?;
        let levels: Vec<f64> = levels.iter().flat_map(|q| q.levels.iter().map(|l| l.0)).collect();
        context.say(format_args!("{}, with the {}-bit grid of `{rule}`:", title(set), row.bits))?;
        context.say(format_args!("{}\n", Histogram::over(set.x.data(), 96).picture(&levels)))?;
    }
    context.say(text_table(&HEAD, 3, &table(&rows)))?;
    context.say("mse/best: 1 is the least error any scale gives. bias: the mean error, its part from clipped values and its part from rounding.")?;
    context.say(format_args!("report {}", report.display()))?;

    let mut result = json!({"table": rows, "report": report, "run": folder.folder()});
    if let [row] = rows.as_slice() {
        result["bits"] = json!(row.bits);
        result["samples"] = json!(row.samples);
        result["methods"] = json!(row.methods);
        result["optimum"] = json!(row.optimum);
    }
    context.result(&result)
}

/// The user's numbers, or the data sets drawn.
fn sets(args: &CalibrateArgs, seed: u64) -> Result<Vec<Set>> {
    if let Some(path) = &args.input {
        let x = models::data::npy::read(path)?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        return Ok(vec![Set { name, distribution: "input".into(), x }]);
    }
    args.sets
        .iter()
        .map(|name| {
            let distribution: Distribution = name.parse()?;
            let x = distribution.samples(args.samples as usize, seed);
            Ok(Set { name: name.clone(), distribution: distribution.to_string(), x })
        })
        .collect()
}

/// All rules on one data set at one width.
fn row(set: &Set, bits: u32, methods: &[ScaleRule], signed: bool) -> Result<Row> {
    let method = |rule: &ScaleRule| -> Result<_> {
        let q = reset_scale_and_zero_point(&set.x, bits, *rule, Symmetry::Symmetric, signed)?;
        Ok((rule.name, Method { scale: q.scales()[0], error: error_report(&set.x, &q)?, q }))
    };
    let optimum = optimum(&Sample::new(set.x.data()), Grid::new(bits, signed)?);
    Ok(Row {
        set: set.name.clone(),
        distribution: set.distribution.clone(),
        samples: set.x.len(),
        bits,
        methods: methods.iter().map(method).collect::<Result<_>>()?,
        optimum,
    })
}
