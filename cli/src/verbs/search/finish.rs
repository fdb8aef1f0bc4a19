//! The end of a search: the network it was for.
//!
//! Where corrections learn, a candidate's accuracy in the search is not that of the finished network, which takes
//! minutes to make. Candidates on the front are ordered by size, and so, nearly, is what becomes of them; bisection over
//! the front finds the smallest that holds the floor when it is finished, on the images searched on.

use anyhow::Result;
use models::QuantizedNetwork;
use quant::mixed::{Outcome, Point};

use super::candidates::Candidates;
use super::ledger::{Ledger, Of};

/// The chosen candidate, and all that were finished.
pub(super) struct Finished {
    /// The smallest that holds the floor; its accuracy is that of the finished network.
    pub best: Option<Point>,
    /// Every finished candidate, with that accuracy, by size.
    pub finished: Vec<Point>,
    /// The chosen network.
    pub network: Option<QuantizedNetwork>,
}

/// Chooses from the front of `outcome`.
///
/// # Errors
/// If a network cannot be made or measured.
pub(super) fn finish(
    candidates: &Candidates<'_>,
    ledger: &mut Ledger<'_>,
    outcome: &Outcome,
    floor: f64,
) -> Result<Finished> {
    let mut done = Finished { best: None, finished: Vec::new(), network: None };
    if candidates.learns() {
        let front = &outcome.front;
        let (mut low, mut high) = (0, front.len());
        while low < high {
            let middle = (low + high) / 2;
            let mut network = None;
            let accuracy = ledger.accuracy(Of::Corrected, &front[middle].bits, |bits| {
                let quantized = network.insert(candidates.quantized(bits)?);
                candidates.in_integers(quantized)
            })?;
            let point = Point { accuracy, ..front[middle].clone() };
            done.finished.push(point.clone());
            if accuracy >= floor {
                (done.best, done.network, high) = (Some(point), network, middle);
            } else {
                low = middle + 1;
            }
        }
        done.finished.sort_by_key(|point| point.size);
    } else {
        done.best.clone_from(&outcome.best);
    }
    if let (Some(best), None) = (&done.best, &done.network) {
        done.network = Some(candidates.quantized(&best.bits)?); // of a resumed search, or not made yet
    }
    Ok(done)
}
