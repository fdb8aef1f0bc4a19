//! `search`: a bit width for each layer, for the smallest network above an accuracy.
//!
//! Weights only, the activations at 16 bits, where they lose nothing. A candidate is measured as its rounded weights in
//! the compiled float network, the fastest way to run it; the winner is measured once more through the integer layers.
//!
//! The search looks at every second test image and never at the others; on those the front is measured in the end. (The
//! images the network was trained on would flatter it.)
//!
//! Every measurement goes to the run's `metrics.jsonl`, and a resumed search reads it back instead of measuring again: the
//! search itself is deterministic, so that it comes to the same end.

mod candidates;
mod ledger;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use quant::ScaleRule;
use quant::mixed::{self, Options, Point};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::report::results::{Front, FrontPoint};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::{Scores, Setup, file_bytes, page};
use crate::run::input::InputArgs;
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::show::text_table::text_table;
use crate::{run::interrupt, run::settings};
use candidates::Candidates;
use ledger::Ledger;

/// Settings of `search`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct SearchArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    /// Accuracy to stay above, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 85.0)]
    floor: f64,
    /// Rule that chooses the scale of weights
    #[arg(long, value_name = "RULE", default_value = "heuristic")]
    method: ScaleRule,
    /// Fewest bits of a layer
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    min_bits: u32,
    /// Most bits of a layer
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=8))]
    max_bits: u32,
    /// Images to measure candidates on, at most
    #[arg(long, value_name = "N", default_value_t = 2000)]
    images: usize,
    /// Candidates to measure after the sensitivities
    #[arg(long, value_name = "N", default_value_t = 300)]
    evaluations: usize,
    /// Folder of the model [default: runs/search-TIMESTAMP]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue the search in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
}

/// Searches, measures the front on the other images, saves the smallest network above the floor.
///
/// # Errors
/// If network or data cannot be read, or nothing reaches the floor.
pub fn run(args: SearchArgs, context: &Context) -> Result<()> {
    if !(0.0..=100.0).contains(&args.floor) {
        return Err(Failure::Usage(format!("--floor {}: expected 0 to 100 percent", args.floor)).into());
    }
    if args.min_bits > args.max_bits || args.images == 0 {
        let text = "--min-bits must not exceed --max-bits, and --images must be at least 1";
        return Err(Failure::Usage(text.into()).into());
    }
    let setup = Setup::open(context, &args.input, None, None)?;
    let folder = match &args.resume {
        Some(folder) => RunFolder::open(folder)?,
        None => RunFolder::create(context, args.out.as_deref(), &args)?,
    };
    let resume = format!("cli search --resume {}", folder.folder().display());
    interrupt::at_once(format!("all candidates measured are saved; continue with `{resume}`"));
    folder.pin(context, &setup.files())?;
    let mut ledger = Ledger::open(&folder)?;
    let mut candidates = Candidates::new(&setup, args.method, args.images)?;
    let layers = candidates.layers();
    let planned = layers.len() * (args.max_bits - args.min_bits + 1) as usize + args.evaluations;
    let progress = Progress::new(context, "search", planned);
    let options = Options {
        floor: args.floor,
        min_bits: args.min_bits,
        max_bits: args.max_bits,
        evaluations: args.evaluations,
    };
    let mut measured = 0;
    let outcome = mixed::search(&layers, options, |bits| {
        measured += 1;
        progress.set(measured.min(planned));
        ledger.accuracy(bits, |bits| candidates.validate(bits))
    })?;
    drop(progress);
    let Some(best) = &outcome.best else {
        let text = format!(
            "no network reaches {}%: with {} bits everywhere it is {:.2}%; lower --floor",
            args.floor, args.max_bits, outcome.baseline
        );
        return Err(Failure::Run(text).into());
    };
    let front = outcome.front.iter().map(|point| Ok((point, candidates.test(&point.bits)?)));
    let front: Vec<(&Point, f64)> = front.collect::<Result<_>>()?;

    let quantized = candidates.quantized(&setup, &best.bits)?;
    let (scores, answers) = Scores::with_answers(context, &quantized, &setup.test)?;
    let model = folder.path(format!("ResNet{}_mixed.safetensors", setup.network.depth));
    let facts = [
        ("test_accuracy", format!("{:.2}", scores.top1_int)),
        ("test_images", scores.images.to_string()),
        ("seed", context.seed.to_string()),
        ("command", settings::command(&context.verb, context.seed, &args)?),
    ];
    let latent = quantized.save(&model, &facts)?;

    let named = |bits: &[u32]| -> Map<String, Value> {
        layers.iter().zip(bits).map(|(layer, b)| (layer.name.clone(), json!(b))).collect()
    };
    let rows: Vec<Vec<String>> = layers
        .iter()
        .zip(&best.bits)
        .map(|(layer, b)| {
            let bytes = mixed::size_bytes(std::slice::from_ref(layer), &[*b]);
            vec![layer.name.clone(), layer.weights.to_string(), b.to_string(), bytes.to_string()]
        })
        .collect();
    context.say(text_table(&["layer", "weights", "bits", "bytes"], 1, &rows))?;
    context.say(format_args!(
        "{:.1} KiB of weights: {:.2}% of {} images searched on; {:.2}% of all {} test images in integers",
        best.bytes as f64 / 1024.0,
        best.accuracy,
        candidates.validation.labels.len(),
        scores.top1_int,
        scores.images
    ))?;
    context.say(format_args!("{} candidates measured; model {}", outcome.evaluations, model.display()))?;
    let mixed = page::Row::quantized(
        "mixed".into(),
        args.method,
        &quantized,
        (scores, &answers),
        file_bytes(&model)?,
    );
    let rows = vec![page::Row::float(&setup.float(context)?, &setup.network), mixed.with_file(&latent)];
    let point = |(point, test): &(&Point, f64)| FrontPoint {
        bytes: point.bytes,
        top1_val: point.accuracy,
        top1_test: *test,
        bits: point.bits.iter().map(ToString::to_string).collect(),
    };
    let report_front = Front {
        floor: args.floor,
        layers: layers.iter().map(|layer| layer.name.clone()).collect(),
        points: front.iter().map(point).collect(),
    };
    let report = page::write(context, &folder, (&setup).into(), &facts[3].1, rows, Some(report_front))?;
    context.say(format_args!("report {}", report.display()))?;
    context.result(&json!({
        "front": front.iter().map(|(point, test)| json!({
            "bytes": point.bytes, "top1_val": point.accuracy, "top1_test": test, "bits": named(&point.bits),
        })).collect::<Vec<_>>(),
        "best": {
            "bytes": best.bytes, "top1_val": best.accuracy, "top1_int": scores.top1_int, "bits": named(&best.bits),
        },
        "baseline": outcome.baseline,
        "evaluations": outcome.evaluations,
        "floor": args.floor,
        "method": args.method,
        "seed": context.seed,
        "model": model,
        "report": report,
        "run": folder.folder(),
    }))
}
