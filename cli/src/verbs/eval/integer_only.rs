//! `eval` of a model file without floats: the engine that ships, on the images' bytes.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use models::data::loader::Loader;
use models::formats::int_model;
use quant::int_graph::file::About;
use quant::int_graph::{IntEngine, IntGraph};
use serde_json::json;

use super::widths::LayerWidths;
use super::{EvalArgs, per_class, say_accuracy, size, write_predictions};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::progress::Progress;

/// Measures and prints.
///
/// # Errors
/// If the data cannot be read, or a flag asks for floats.
pub fn run(args: &EvalArgs, context: &Context, path: &Path, graph: IntGraph, about: &About) -> Result<()> {
    let refuse = |flag: &str, why: &str| {
        let text = format!("{flag}: {} is an integer-only network, {why}", path.display());
        Err(Failure::Usage(text).into())
    };
    if args.input.normalization.is_some() {
        return refuse("--normalization", "which has its normalisation inside");
    }
    if args.arithmetic.is_some_and(|arithmetic| arithmetic != super::Arithmetic::Integer) {
        return refuse("--arithmetic", "which has no other arithmetic");
    }
    int_model::expect_image(path, &graph)?;
    let engine = IntEngine::new(graph)?;
    let (set, folder) = args.split.open(context, args.input.data.as_deref())?;
    let classes = int_model::classes(path, engine.graph(), about)?;
    assets::expect_classes(context, (path, &classes), (&folder, set.classes()))?;
    let images = args.limit.map_or(set.len(), |limit| set.len().min(limit as usize));
    let loader = Loader::evaluation(&set, args.batch as usize, Default::default())
        .over((0..images).collect::<Vec<_>>());

    let start = Instant::now();
    let evaluation = {
        let progress = Progress::new(context, "eval", images);
        int_model::evaluate(&engine, &loader, |done| progress.set(done))?
    };
    let seconds = start.elapsed().as_secs_f64();

    let fact = |key: &str| about.get(key).map_or("?", String::as_str);
    let (bytes, widths) = (size(path)?, LayerWidths::of_integers(engine.graph()));
    context.say(format_args!(
        "{}: {} option {}, {}, integers only ({})",
        path.display(),
        fact("arch"),
        fact("shortcut"),
        fact("bits"),
        widths.text(bytes)
    ))?;
    say_accuracy(context, &evaluation, &folder, seconds, engine.isa())?;
    per_class(context, &evaluation.logits, &set, images);
    write_predictions(args.predictions.as_deref(), &evaluation)?;
    context.result(&json!({
        "top1": evaluation.top1(),
        "images": images,
        "seconds": seconds,
        "weights_bytes": bytes,
        "weights": path,
        "data": folder,
        "split": args.split,
        "arithmetic": "integer_only",
        "isa": engine.isa(),
        "bits": about.get("bits"),
        "weight_bits": widths.object(),
        "packed_weights_bytes": widths.bytes(),
        "policy": about.get("policy"),
        "method": about.get("method"),
        "about": about,
    }))
}
