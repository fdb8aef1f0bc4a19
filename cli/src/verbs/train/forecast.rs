//! `train --dry-run`.

use anyhow::Result;
use engine::Float;
use models::data::loader::Loader;
use models::{Network, Trainer, evaluate};

use super::TrainArgs;
use crate::run::context::Context;
use crate::run::experiment::{few, float_bytes};
use crate::run::fit::seconds_of_step;
use crate::run::forecast::{Forecast, counted, timed};

/// Takes two steps and measures a batch, and says what the whole takes.
///
/// # Errors
/// If a step fails.
pub(super) fn show(
    args: &TrainArgs,
    context: &Context,
    network: &Network,
    mut trainer: Trainer,
    (train, test): (&Loader, &Loader),
) -> Result<()> {
    let mut forecast = Forecast::new("the second of two steps and a few test images, just done here");
    let step = seconds_of_step(&mut trainer, train)?;
    let (epochs, steps) = (args.epochs, train.batches());
    let what = format!(
        "train ResNet-{} for {} of {} of {}",
        network.depth,
        counted(epochs, "epoch"),
        counted(steps, "step"),
        counted(args.batch, "image")
    );
    forecast.stage(what, step * (epochs * steps) as f64);
    let few: Vec<usize> = test.indices.iter().copied().take(few(test.images())).collect();
    let part = few.len() as f64 / test.images() as f64;
    let few = test.clone().over(few);
    // While the trainer is there, as in a run.
    let averaged = trainer.averaged();
    let (_, seconds) =
        timed(|| Ok(evaluate(&network.graph, averaged, few.prefetch(0, 0, 2), &mut Float, |_| ())?))?;
    // Once more for the page.
    let what = format!("accuracy on {} test images after each epoch", test.images());
    forecast.stage(what, seconds / part * (epochs + 1) as f64);
    let weights = float_bytes(network);
    forecast.file("weights", weights);
    forecast.file("state to resume from", weights * if args.ema > 0.0 { 3 } else { 2 });
    forecast.show(context)
}
