//! `search --dry-run`.

use anyhow::Result;

use super::SearchArgs;
use super::candidates::Candidates;
use crate::run::context::Context;
use crate::run::experiment::{Pace, SMALL, Setup, corrected};
use crate::run::forecast::{Forecast, counted, timed};

/// Candidates of a front, about, among which bisection looks for the smallest that holds.
const FRONT: f64 = 16.0;

/// Measures two candidates, which share nothing, and says what all of them take at most.
///
/// # Errors
/// If a candidate cannot be measured.
pub(super) fn show(args: &SearchArgs, context: &Context, setup: &Setup) -> Result<()> {
    let mut forecast =
        Forecast::new("one candidate that shares nothing with the one before, just measured here");
    let (mut candidates, begin) = timed(|| Candidates::new(setup, args, context))?;
    forecast.stage("what all candidates share", begin);
    let layers = candidates.evaluator.layers().len();
    let mut measure = |bits: u32| timed(|| Ok(candidates.evaluator.accuracy(&vec![bits; layers])?));
    let (_, first) = measure(args.max_bits)?;
    // Without any bits it is no network, which is seen at once.
    let least = args.min_bits.max(1);
    let each = if least < args.max_bits { measure(least)?.1 } else { first };
    let images = args.images.min(setup.test.images().div_ceil(2));
    let own = args.shard.map_or(args.evaluations, |shard| shard.share(args.evaluations));
    let what = format!("at most {} on {images} images", counted(own, "candidate"));
    forecast.stage(what, each * own as f64);
    // A line of the metrics for each: the bits of every layer, and the accuracy.
    forecast.file("candidates", own.saturating_mul(60 + 2 * layers));
    forecast.memory(args.cache_mib.saturating_mul(1 << 20));
    if args.shard.is_some() {
        return forecast.show(context); // the rest is for who puts the shards together
    }
    let pace = Pace::new(context, setup);
    let make = |images, iterations| {
        let few = SearchArgs { images: SMALL, calibration_images: images, iterations, ..args.clone() };
        Candidates::new(setup, &few, context)?.quantized(&vec![args.max_bits; layers])
    };
    let calibration = args.calibration_images.min(setup.train.len()); // there are no more
    let whole = (&args.correction, calibration, args.iterations);
    let (quantized, seconds) = corrected(&mut forecast, whole, make)?;
    let times = if candidates.are_finished() { FRONT.log2() } else { 1.0 };
    forecast.stage(format!("make the network that was found, correct: {}", args.correction), seconds * times);
    pace.scores(&mut forecast, &quantized)?;
    pace.page(&mut forecast, &quantized)?;
    let calibration = args.calibration_images as f64;
    let share = (setup.test.images() as f64 / 2.0 + calibration) / (images as f64 + calibration);
    forecast.stage("the front on the other images", each * share * FRONT);
    forecast.show(context)
}
