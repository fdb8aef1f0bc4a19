//! A search divided among processes.
//!
//! A searcher asks for one candidate after the other, but says beforehand what it will ask for whatever the answers are
//! ([`mixed::search_ahead`]): the uniform widths, the drops of single layers, a generation. A shard runs the search on what is
//! known; of what is announced it measures its share, and it ends where the search asks for what nobody has measured yet.
//! That is a *round*. The next round begins with the measurements of all shards (`--known`). What one candidate after the
//! other decides (descent, exchange, annealing) is nobody's share: `merge` does it, which is the search itself on everything
//! measured so far, without measuring anything of it again.

use anyhow::Result;
use quant::mixed;
use serde_json::json;

use super::SearchArgs;
use super::candidates::Candidates;
use super::ledger::{Ledger, Of};
use crate::run::context::Context;
use crate::run::progress::Progress;
use crate::run::run_folder::RunFolder;
use crate::run::shard::{Shard, expect_same};

/// The search asked for what has not been measured.
#[derive(Debug, thiserror::Error)]
#[error("not measured yet")]
struct Unknown;

/// One round of a shard.
///
/// # Errors
/// If a candidate cannot be measured, or the folder cannot be written to.
pub(super) fn run(
    (args, shard): (&SearchArgs, Shard),
    context: &Context,
    folder: &RunFolder,
    mut ledger: Ledger<'_>,
    candidates: &mut Candidates<'_>,
) -> Result<()> {
    let layers = candidates.sizes().to_vec();
    let limits = args.limits(context.seed);
    let costs = args.costs.guessed(args, candidates)?;
    let searcher = mixed::searcher(&args.searcher).expect("the command line takes no other names");
    let progress = Progress::new(context, "search", args.evaluations);
    let known = ledger.clone();
    let (mut measured, mut unknown) = (0, 0);
    let announced = |all: &[Vec<u32>]| -> Result<()> {
        unknown += all.iter().filter(|bits| known.known(Of::Candidate, bits).is_none()).count();
        for (_, bits) in all.iter().enumerate().filter(|(place, _)| shard.takes(*place)) {
            ledger.accuracy(Of::Candidate, bits, |bits| {
                measured += 1;
                progress.set(measured);
                Ok(candidates.evaluator.accuracy(bits)?)
            })?;
        }
        Ok(())
    };
    let asked = |bits: &[u32]| -> Result<f64> { Ok(known.known(Of::Candidate, bits).ok_or(Unknown)?) };
    let done = match mixed::search_ahead(searcher, &layers, limits, costs.as_deref(), announced, asked) {
        Ok(_) => true,
        // What is nobody's share is the end; what is the others' is not.
        Err(e) if e.is::<Unknown>() => unknown == 0,
        Err(e) => return Err(e),
    };
    let next = if done {
        "nothing is left for it: merge the shards".to_owned()
    } else {
        let resume = folder.resume(context);
        format!("merge the shards, or share another round with all of them: `{resume} --known DIR,..`")
    };
    context.say(format_args!("shard {shard}: {measured} candidates measured; {next}"))?;
    context.result(&json!({ "shard": shard, "measured": measured, "done": done, "run": folder.folder() }))
}

/// Takes in the measurements of other shards.
///
/// # Errors
/// If a folder holds no search of the same files with the same settings and seed, or its measurements cannot be read.
pub(super) fn take_in(
    ledger: &mut Ledger<'_>,
    (context, folder): (&Context, &RunFolder),
    args: &SearchArgs,
) -> Result<()> {
    for other in &args.known {
        expect_same(("search", context.seed), (folder.folder(), args), other, |args| args.shard = None)?;
        folder.began_as(other)?;
    }
    ledger.take_in(&args.known)
}
