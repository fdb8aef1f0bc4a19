//! What a table refuses before it computes anything.

use anyhow::Result;

use super::{TableArgs, cell};
use crate::run::context::Context;
use crate::run::exit::Failure;

/// Refuses seeds that would count twice, and cells that cannot be.
///
/// # Errors
/// Saying which.
pub(super) fn check(args: &TableArgs, context: &Context) -> Result<()> {
    for (i, seed) in args.seeds.iter().enumerate() {
        let text = match *seed {
            _ if *seed == context.seed => format!("--seeds: {seed} is the table's own --seed already"),
            _ if args.seeds[..i].contains(seed) => {
                format!("--seeds: {seed} stands there twice; give each seed once")
            }
            _ => continue,
        };
        return Err(Failure::Usage(text).into());
    }
    args.places(context.seed).into_iter().try_for_each(|place| cell::check(args, place))
}
