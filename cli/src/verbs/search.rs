//! `search`: a bit width for each layer, for the smallest network above an accuracy, or the most accurate within a size.
//!
//! Weights only, the activations at 16 bits, where they lose nothing (the image at the 8 of its pixels). A candidate is measured as its rounded weights in
//! the compiled float network with corrected batch norms ([`quant::mixed::Evaluator`]); the winner is made with all the
//! corrections asked for and measured once more through the integer layers.
//!
//! The search looks at every second test image and never at the others; on those the front is measured in the end. (The
//! images the network was trained on would flatter it.)
//!
//! Every measurement goes to the run's `metrics.jsonl`, and a resumed search reads it back instead of measuring again: the
//! search itself is deterministic, so that it comes to the same end.

mod bounds;
mod candidates;
mod checks;
mod costs;
mod finish;
mod forecast;
mod found;
mod ledger;
mod live;
mod shard;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use quant::mixed::{self, NO_NETWORK, Outcome, Point, SEARCHERS};
use quant::{Granularity, ScaleRule, Sequence};
use serde::{Deserialize, Serialize};

use crate::run::context::Context;
use crate::run::experiment::{Scores, Setup, file_bytes, page};
use crate::run::input::InputArgs;
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::run::shard::{MergeArgs, Shard};
use crate::show::objective::Objective;
use crate::{run::interrupt, run::settings};
use candidates::Candidates;
use costs::Costs;
use finish::finish;
use found::Found;
use ledger::{Ledger, Of};
use live::Live;

/// What else `search` does.
#[derive(Subcommand, Clone, Debug)]
enum Then {
    /// Put the shards of a search together, and go on to its end
    Merge(MergeArgs),
}

/// Settings of `search`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[command(args_conflicts_with_subcommands = true)]
pub struct SearchArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    /// Accuracy to stay above, percent
    #[arg(long, value_name = "PERCENT", default_value_t = 85.0)]
    floor: f64,
    /// Find the most accurate network of at most this size instead, in KiB of weights or G bit operations of an image
    #[arg(long, value_name = "SIZE", conflicts_with_all = ["floor", "search_floor"])]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// What is to be small: bytes (of weights) or bit_operations (of an image)
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = Objective::Bytes, hide_possible_values = true)]
    #[serde(default, skip_serializing_if = "Objective::is_bytes")]
    minimize: Objective,
    /// How candidates are chosen: uniform, random, greedy, dynamic, nsga2, annealing
    #[arg(long, value_name = "NAME", default_value = "greedy", hide_possible_values = true,
          value_parser = PossibleValuesParser::new(SEARCHERS.map(|searcher| searcher.name())))]
    searcher: String,
    /// What `greedy` and `dynamic` take a layer's cost from: measured, sqnr, output, fisher
    #[arg(long, value_name = "NAME", value_enum, default_value_t = Costs::Measured, hide_possible_values = true)]
    costs: Costs,
    /// Rule that chooses the scale of weights
    #[arg(long, value_name = "RULE", default_value = "heuristic")]
    method: ScaleRule,
    /// A scale of weights for each tensor (per_tensor) or output channel (per_channel)
    #[arg(long, value_name = "WHAT", default_value_t = Granularity::PerTensor)]
    weight_granularity: Granularity,
    /// Corrections, as in ptq; candidates are measured with balance and batch_norm, the final network with all of them
    #[arg(long, value_name = "NAME,..", default_value = "batch_norm")]
    correction: Sequence,
    /// Updates of each block in corrections that learn [default: the method's own number]
    #[arg(long, value_name = "N")]
    iterations: Option<usize>,
    /// Accuracy that candidates aim at before corrections that learn, percent [default: that of --floor]
    #[arg(long, value_name = "PERCENT")]
    search_floor: Option<f64>,
    /// Fewest bits of a layer; 0 lets layers of residual blocks be dropped
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=8))]
    min_bits: u32,
    /// Most bits of a layer
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=8))]
    max_bits: u32,
    /// Images to measure candidates on, at most
    #[arg(long, value_name = "N", default_value_t = 2000)]
    images: usize,
    /// Training images to correct batch norms on
    #[arg(long, value_name = "N", default_value_t = 1000)]
    calibration_images: usize,
    /// Candidates to measure in all, sensitivities included
    #[arg(long, value_name = "N", default_value_t = 500)]
    evaluations: usize,
    /// Memory for the activations of candidates that begin alike; results do not depend on it
    #[arg(long, value_name = "MIB", default_value_t = 3000)]
    cache_mib: usize,
    /// Measure only a share of what can be measured at once, the i-th of n; `search merge` puts them together
    #[arg(long, value_name = "i/n")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
    /// Folders of other shards whose measurements are taken as they are
    #[arg(long, value_name = "DIR,..", value_delimiter = ',')]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    known: Vec<PathBuf>,
    #[command(subcommand)]
    #[serde(skip)]
    then: Option<Then>,
    /// Folder of the model [default: runs/search-TIMESTAMP]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    out: Option<PathBuf>,
    /// Continue the search in this folder
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// Say what would be done, and estimate time, memory and disk from a short piece of it; write nothing
    #[arg(long, conflicts_with = "resume")]
    #[serde(default)]
    dry_run: bool,
}

/// Searches, measures the front on the other images, saves the network that was asked for.
///
/// # Errors
/// If network or data cannot be read, or nothing keeps to the bound.
pub fn run(args: SearchArgs, context: &Context) -> Result<()> {
    match &args.then {
        None => begin(&args, context),
        Some(Then::Merge(merge)) => {
            let (whole, seed) = merge.settings("search", |args: &mut SearchArgs| args.shard = None)?;
            let known = merge.shards().to_vec();
            let input = merge.input(whole.input);
            begin(&SearchArgs { input, known, out: merge.out(), ..whole }, &context.with_seed(seed))
        }
    }
}

/// A search, or a shard of one.
fn begin(args: &SearchArgs, context: &Context) -> Result<()> {
    args.check()?;
    args.idle().iter().for_each(|text| context.note(format_args!("note: {text}")));
    let setup = Setup::open(context, &args.input, None, None)?;
    if args.dry_run {
        return forecast::show(args, context, &setup);
    }
    let folder = match &args.resume {
        Some(folder) => RunFolder::open(folder)?,
        None => RunFolder::create(context, args.out.as_deref(), args)?,
    };
    let resume = folder.resume(context);
    interrupt::at_once(format!("all candidates measured are saved; continue with `{resume}`"));
    folder.pin(context, &setup.files())?;
    let mut ledger = Ledger::open(&folder)?;
    shard::take_in(&mut ledger, (context, &folder), args)?;
    let mut candidates = Candidates::new(&setup, args, context)?;
    if let Some(shard) = args.shard {
        return shard::run((args, shard), context, &folder, ledger, &mut candidates);
    }
    let (outcome, rate) = search(args, context, &mut ledger, &mut candidates)?;
    let uniform = (args.min_bits.max(1)..=args.max_bits).map(|b| {
        let bits = vec![b; candidates.sizes().len()];
        let accuracy =
            ledger.accuracy(Of::Candidate, &bits, |bits| Ok(candidates.evaluator.accuracy(bits)?))?;
        Ok((b, mixed::size_bytes(candidates.sizes(), &bits), accuracy))
    });
    let uniform: Vec<(u32, usize, f64)> = uniform.collect::<Result<_>>()?;
    let done = finish(&candidates, &mut ledger, &outcome, args.goal())?;
    let (Some(best), Some(quantized)) = (&done.best, &done.network) else {
        let plot = found::measured(args, &candidates, &outcome, &uniform, &done.finished);
        let drawing = folder.write("search.svg", plot.file().as_bytes())?;
        context.note(format_args!("all that was measured is drawn in {}", drawing.display()));
        return Err(args.found_nothing(&uniform, outcome.points.len(), &done.finished).into());
    };
    let (scores, answers) = Scores::with_answers(context, quantized, &setup.test)?;
    let others = candidates::every_second_right(&setup, &answers, 1);
    if args.at_most.is_none() && scores.top1_int < args.floor {
        context.note(format_args!(
            "note: of all {} test images it has {:.2}% in integers, less than the {}% asked for and reached on those searched \
             on; ask for a little more with --floor",
            scores.images, scores.top1_int, args.floor
        ));
    }
    let model = folder.path(format!("ResNet{}_mixed.safetensors", setup.network.depth));
    let command = settings::command(&context.verb, context.seed, args)?;
    let facts = [
        ("test_accuracy", format!("{:.2}", scores.top1_int)),
        ("test_images", scores.images.to_string()),
        ("seed", context.seed.to_string()),
        ("command", command.clone()),
    ];
    let latent = quantized.save(&model, &facts)?;
    let front_test = candidates.test(&outcome.front.iter().map(|point| &point.bits).collect::<Vec<_>>())?;
    let model_bytes = file_bytes(&model)?;
    let row = page::Row::quantized("mixed".into(), args.method, quantized, (scores, &answers), model_bytes);
    let rows =
        vec![page::Row::float(&setup.float(context)?, &setup.network)?, row.with_file(&folder, &latent)];
    let found = Found {
        args,
        candidates: &candidates,
        outcome: &outcome,
        front_test: &front_test,
        uniform: &uniform,
        finished: &done.finished,
        best,
        others,
        scores,
        model: &model,
        model_bytes,
        rate,
    };
    let report = page::write(context, &folder, (&setup).into(), &command, rows, Some(found.front()))?;
    found.show(context, &folder, &report)
}

/// The search itself, and the number of candidates measured in an hour, if any were.
fn search(
    args: &SearchArgs,
    context: &Context,
    ledger: &mut Ledger<'_>,
    candidates: &mut Candidates<'_>,
) -> Result<(Outcome, Option<f64>)> {
    let layers = candidates.sizes().to_vec();
    let limits = args.limits(context.seed);
    let costs = args.costs.guessed(args, candidates)?;
    let progress = Progress::new(context, "search", args.evaluations);
    let searcher = mixed::searcher(&args.searcher).expect("the command line takes no other names");
    let mut live = Live::new(limits.goal, args.minimize);
    let (mut asked, mut measured, mut seconds) = (0, 0, 0.0);
    let outcome = mixed::search(searcher, &layers, limits, costs.as_deref(), |bits| {
        let mut known = true;
        let accuracy = ledger.accuracy(Of::Candidate, bits, |bits| {
            known = false;
            let start = Instant::now();
            let accuracy = candidates.evaluator.accuracy(bits)?;
            if accuracy > NO_NETWORK {
                (measured, seconds) = (measured + 1, seconds + start.elapsed().as_secs_f64());
            }
            Ok(accuracy)
        })?;
        // To see that there is no network takes neither time nor budget.
        if accuracy <= NO_NETWORK {
            return Ok::<_, anyhow::Error>(accuracy);
        }
        asked += 1;
        if known {
            progress.pass(asked)
        } else {
            progress.set(asked)
        }
        let point = Point { bits: bits.to_vec(), size: mixed::size_bytes(&layers, bits), accuracy };
        if let Some(line) = live.take(point) {
            progress.message(line);
        }
        Ok(accuracy)
    })?;
    if outcome.costs_cut_short {
        context.note(format_args!(
            "note: --evaluations {} ended while it was measured what each layer costs, so that nothing was searched; \
             give more, or --costs output",
            args.evaluations
        ));
    }
    Ok((outcome, (measured > 0).then(|| 3600.0 * f64::from(measured) / seconds.max(1e-9))))
}
