//! `search --dry-run`.

use anyhow::Result;
use quant::mixed::proxy::Proxy;

use super::SearchArgs;
use super::candidates::Candidates;
use super::finish::FINISHED;
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
    let widths = (least..=args.max_bits).count();
    let uniform = args.searcher == "uniform";
    let asked = if uniform { args.evaluations.min(widths) } else { args.evaluations };
    let own = args.shard.map_or(asked, |shard| shard.share(asked));
    let what = format!("at most {} on {images} images", counted(own, "candidate"));
    forecast.stage(what, each * own as f64);
    // A line of the metrics for each: the bits of every layer, and the accuracy.
    forecast.file("candidates", own.saturating_mul(60 + 2 * layers));
    forecast.memory(args.cache_mib.saturating_mul(1 << 20));
    if args.shard.is_some() {
        return forecast.show(context); // the rest is for who puts the shards together
    }
    if !uniform {
        forecast
            .stage(format!("{} everywhere, to compare with", counted(widths, "width")), each * widths as f64);
    }
    let (_, guesses) = timed(|| {
        for (_, proxy) in Proxy::TABLE {
            candidates.evaluator.costs(proxy, args.min_bits..=args.max_bits)?;
        }
        Ok(())
    })?;
    forecast.stage("how well guessed costs order the candidates", guesses);
    let pace = Pace::new(context, setup);
    pace.float(&mut forecast)?;
    let make = |images, iterations| {
        let few = SearchArgs { images: SMALL, calibration_images: images, iterations, ..args.clone() };
        Candidates::new(setup, &few, context)?.quantized(&vec![args.max_bits; layers])
    };
    let calibration = args.calibration_images.min(setup.train.len()); // there are no more
    let whole = (&args.correction, calibration, args.iterations);
    let (quantized, seconds) = corrected(&mut forecast, whole, make)?;
    // The front of uniform widths has no more points than there are.
    let front = if uniform { FRONT.min(widths as f64) } else { FRONT };
    let times = match (candidates.are_finished(), args.at_most) {
        (false, _) => 1.0,
        (true, None) => front.log2().ceil().max(1.0),
        (true, Some(_)) => front.min(FINISHED as f64),
    };
    forecast.stage(format!("make the network that was found, correct: {}", args.correction), seconds * times);
    if candidates.are_finished() {
        pace.integers(&mut forecast, &quantized, (images, times))?;
    }
    pace.scores(&mut forecast, &quantized)?;
    pace.page(&mut forecast, &quantized)?;
    let calibration = args.calibration_images as f64;
    let share = (setup.test.images() as f64 / 2.0 + calibration) / (images as f64 + calibration);
    forecast.stage("the front on the other images", each * share * front);
    forecast.show(context)
}
