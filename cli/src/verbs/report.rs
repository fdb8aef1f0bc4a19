//! `report`: one page about any runs, side by side.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use models::formats::atomic;
use serde_json::json;

use crate::report::past_run::PastRun;
use crate::report::{Sources, page};
use crate::run::context::Context;
use crate::run::forecast::counted;
use crate::run::overwrite::{expect_folder, expect_no_input};

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
pub struct ReportArgs {
    /// Folders of train, ptq, qat, search and table runs, or their metrics.jsonl alone
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// The page: one HTML file with everything in it
    #[arg(long, value_name = "FILE.html", default_value = "report.html")]
    out: PathBuf,
    /// The data set, if it is not where the runs had it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The float network, if it is not where the runs had it
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Training images to look at layers with; 0: only weights
    #[arg(long, value_name = "N", default_value_t = 256)]
    images: usize,
}

/// Writes the page.
///
/// # Errors
/// If a run is missing or damaged, or the page cannot be written.
pub fn run(args: ReportArgs, context: &Context) -> Result<()> {
    expect_folder("--out", &args.out)?;
    let runs = PastRun::open_all(&args.runs)?;
    // A page may take the place of a page, whoever's it is.
    if args.out.extension().is_none_or(|ending| ending != "html") {
        let read = args.runs.iter().chain(&args.data).chain(&args.weights).map(PathBuf::as_path);
        expect_no_input("--out", &args.out, &read.collect::<Vec<_>>())?;
    }
    let sources = Sources { data: args.data, weights: args.weights, images: args.images };
    let page = page(context, &runs, &sources)?;
    atomic::write(&args.out, page.as_bytes())?;
    let kib = page.len() as f64 / 1024.0;
    let count = counted(runs.len(), "run");
    context.say(format_args!("report {} ({count}, {kib:.0} KiB)", args.out.display()))?;
    let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
    context.result(&json!({"report": args.out, "runs": names, "bytes": page.len()}))
}
