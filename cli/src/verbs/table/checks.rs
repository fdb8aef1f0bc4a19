//! What a table refuses before it computes anything.

use std::fmt::Display;

use anyhow::Result;
use quant::{Policy, ScaleRule};

use super::cell::Planned;
use super::{CALIBRATION_IMAGES, CellMode, EMA, EPOCHS, LR, Ptq, TableArgs, cell};
use crate::run::context::Context;
use crate::run::exit::Failure;

/// Refuses what would count twice, and cells that cannot be.
///
/// # Errors
/// Saying which.
pub(super) fn check(args: &TableArgs, context: &Context) -> Result<()> {
    let modes: Vec<String> = args.modes.iter().map(|mode| mode.name().to_lowercase()).collect();
    once("--bits", "width", &args.bits)?;
    // A rule has other names too; a name that has recipes of its own is none of them.
    let canonical = |name: &String| match ScaleRule::parse(name) {
        Ok(rule) if !cell::has_recipe(args, name) => rule.name.to_owned(),
        _ => name.clone(),
    };
    once("--methods", "method", &args.methods.iter().map(canonical).collect::<Vec<_>>())?;
    once("--modes", "mode", &modes)?;
    if args.seeds.contains(&context.seed) {
        let text = format!("--seeds: {} is the table's own --seed already", context.seed);
        return Err(Failure::Usage(text).into());
    }
    once("--seeds", "seed", &args.seeds)?;
    if args.residual_bits.is_some() && args.policy != Policy::Product {
        let text = "--residual-bits: only --policy product quantizes the residual stream";
        return Err(Failure::Usage(text.into()).into());
    }
    args.places(context.seed).into_iter().try_for_each(|place| cell::check(args, place))
}

/// Refuses a value that stands twice in the list of `flag`: the same run shown twice would pass for two that agree.
fn once<T: PartialEq + Display>(flag: &str, what: &str, values: &[T]) -> Result<()> {
    let twice = values.iter().enumerate().find(|(i, value)| values[..*i].contains(value));
    let Some((_, value)) = twice else { return Ok(()) };
    Err(Failure::Usage(format!("{flag}: {value} stands there twice; give each {what} once")).into())
}

/// Flags that decide about no cell, and why: those that say how to quantize or to train where recipes do, or where nothing is.
pub(super) fn idle(args: &TableArgs, plan: &[Planned<'_>]) -> Vec<(&'static str, &'static str)> {
    let (quantizes, trains) =
        (plan.iter().any(Planned::quantizes_by_flags), plan.iter().any(Planned::trains_by_flags));
    let untrained = "no cell is trained by the flags";
    let flags = [
        ("--epochs", args.epochs != EPOCHS && !trains, untrained),
        ("--lr", args.lr != LR && !trains, untrained),
        ("--ema", args.ema != EMA && !trains, untrained),
        ("--ptq", args.ptq != Ptq::Best && !quantizes, "no cell without training goes by the flags"),
        (
            "--calibration-images",
            args.calibration_images != CALIBRATION_IMAGES && !quantizes && !trains,
            "no cell goes by the flags",
        ),
        ("--seeds", !args.seeds.is_empty() && !args.modes.contains(&CellMode::Qat), "no cell is trained"),
    ];
    flags.into_iter().filter(|(_, idle, _)| *idle).map(|(flag, _, why)| (flag, why)).collect()
}
