//! The end of `qat`: the last epoch's network, which is the result, and what is said of it and of the best.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::QatArgs;
use crate::run::context::Context;
use crate::run::experiment::aware::Outcome;
use crate::run::experiment::{Scores, Setup};
use crate::run::run_folder::RunFolder;

/// Saves the network of the last epoch, which nobody chose, with its accuracy on the test images, in the folder `last`.
///
/// # Errors
/// If it cannot be written.
pub(super) fn save_last(
    folder: &RunFolder,
    outcome: &Outcome,
    top1: f64,
    seed: u64,
    command: &str,
) -> Result<PathBuf> {
    let place = folder.path("last");
    std::fs::create_dir_all(&place).map_err(|e| models::Error::io("create", &place, e))?;
    let model = place.join(outcome.model.file_name().unwrap_or_default());
    let facts = [
        ("test_accuracy", format!("{top1:.2}")),
        ("epoch", outcome.metrics.len().to_string()),
        ("seed", seed.to_string()),
        ("command", command.to_owned()),
    ];
    outcome.last.save(&model, &facts)?;
    Ok(model)
}

/// Says what came out.
///
/// # Errors
/// If stdout cannot be written to.
pub(super) fn finish(
    args: &QatArgs,
    context: &Context,
    setup: &Setup,
    outcome: &Outcome,
    (scores, top1_best): (Scores, f64),
    (model, report): (&Path, &Path),
) -> Result<()> {
    let (best, epoch) = outcome.best();
    let say = |last: f64, best: f64, of: &str, chosen: &str| {
        let beside = format!(", {best:.2}% after epoch {epoch} (the best{chosen})");
        // Where bits are learned, the networks before the last were larger, and none is the best.
        let beside = if outcome.learned_bits.is_some() { String::new() } else { beside };
        context.say(format_args!(
            "top-1 in integers{of} {last:.2}% after epoch {} (the last){beside}; seed {}",
            args.epochs, context.seed
        ))
    };
    match &setup.held_out {
        Some(held_out) => {
            let of = format!(" of {} images held out", held_out.images());
            say(outcome.top1_last(), best, &of, ", chosen on these images")?;
            say(scores.top1_int, top1_best, &format!(" of {} test images", scores.images), "")?;
        }
        None => say(scores.top1_int, best, "", ", chosen on these images")?,
    }
    context.say(scores)?;
    if let Some(learned) = &outcome.learned_bits {
        context.say(format_args!("bits    --layer-bits {}", args.with_learned(learned)))?;
    }
    context.say(format_args!("trained at {:.0} images/s", outcome.images_per_s()))?;
    context.say(format_args!("model   {}", model.display()))?;
    if outcome.learned_bits.is_none() {
        context.say(format_args!("best    {}", outcome.model.display()))?;
    }
    context.say(format_args!("report  {}", report.display()))
}
