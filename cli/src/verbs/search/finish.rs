//! The end of a search: the network it was for.
//!
//! Where corrections learn, or change the float network in a way that candidates do not see, a candidate's accuracy in the
//! search is not that of the finished network, which may take minutes to make. Candidates on the front are ordered by size, and so,
//! nearly, is what becomes of them; bisection over the front finds the smallest that holds the floor when it is finished, on the images
//! searched on. Under a limit of the size the [`FINISHED`] largest within it are finished, and the most accurate is taken.

use anyhow::Result;
use models::QuantizedNetwork;
use quant::mixed::{Goal, Outcome, Point};

use super::candidates::Candidates;
use super::ledger::{Ledger, Of};

/// Candidates that are finished under a limit of the size.
pub(super) const FINISHED: usize = 3;

/// The chosen candidate, and all that were finished.
pub(super) struct Finished {
    /// The smallest that holds the floor, or the most accurate within the limit; its accuracy is that of the finished
    /// network.
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
    goal: Goal,
) -> Result<Finished> {
    let mut done = Finished { best: None, finished: Vec::new(), network: None };
    if candidates.are_finished() {
        let front = &outcome.front;
        let mut finished = |point: &Point| -> Result<(Point, Option<QuantizedNetwork>)> {
            let mut network = None;
            let accuracy = ledger.accuracy(Of::Corrected, &point.bits, |bits| {
                let quantized = network.insert(candidates.quantized(bits)?);
                candidates.in_integers(quantized)
            })?;
            Ok((Point { accuracy, ..point.clone() }, network))
        };
        match goal {
            Goal::Smallest { floor } => {
                let (mut low, mut high) = (0, front.len());
                while low < high {
                    let middle = (low + high) / 2;
                    let (point, network) = finished(&front[middle])?;
                    done.finished.push(point.clone());
                    if point.accuracy >= floor {
                        (done.best, done.network, high) = (Some(point), network, middle);
                    } else {
                        low = middle + 1;
                    }
                }
            }
            Goal::MostAccurate { limit } => {
                for point in front.iter().rev().filter(|p| p.size <= limit).take(FINISHED) {
                    let (point, network) = finished(point)?;
                    done.finished.push(point.clone());
                    if goal.prefers(&point, done.best.as_ref()) {
                        (done.best, done.network) = (Some(point), network);
                    }
                }
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
