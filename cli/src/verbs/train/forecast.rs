//! `train --dry-run`.

use anyhow::Result;
use engine::Float;
use models::data::loader::Loader;
use models::{Network, Trainer, evaluate};

use super::TrainArgs;
use crate::run::context::Context;
use crate::run::experiment::float_bytes;
use crate::run::fit::seconds_of_step;
use crate::run::forecast::{Forecast, timed};

/// Takes two steps and measures a batch, and says what the whole takes.
///
/// # Errors
/// If a step fails.
pub(super) fn show(
    args: &TrainArgs,
    context: &Context,
    network: &Network,
    trainer: Trainer,
    (train, test): (&Loader, &Loader),
) -> Result<()> {
    let mut forecast = Forecast::new("the second of two steps and a batch of test images, just done here");
    let step = seconds_of_step(trainer, train)?;
    let (epochs, steps) = (args.epochs, train.batches());
    let what = format!(
        "train ResNet-{} for {epochs} epochs of {steps} steps of {} images",
        network.depth, args.batch
    );
    forecast.stage(what, step * (epochs * steps) as f64);
    let few: Vec<usize> = test.indices.iter().copied().take(test.batch_size).collect();
    let part = few.len() as f64 / test.images() as f64;
    let few = test.clone().over(few);
    let (_, seconds) =
        timed(|| Ok(evaluate(&network.graph, &network.params, few.epoch(0), &mut Float, |_| ())?))?;
    // Once more for the page.
    let what = format!("accuracy on {} test images after each epoch", test.images());
    forecast.stage(what, seconds / part * (epochs + 1) as f64);
    let weights = float_bytes(network);
    forecast.file("weights", weights);
    forecast.file("state to resume from", weights * if args.ema > 0.0 { 3 } else { 2 });
    forecast.show(context)
}
