//! Simulated annealing.
//!
//! One candidate wanders. A step takes a bit from one layer, gives a bit to one, or does both; what gets better is taken,
//! and what gets worse by `d` with probability
//!
//! ```text
//! P  =  exp( - d / T )            T falls from 5% to 0.1% in equal ratios over the budget         (6f)
//! ```
//!
//! The energy is the size relative to the start, and 10% more for each point of accuracy below the floor: a valley may be
//! crossed below it, if it is not deep. Under a limit of the size it is the accuracy lost since the start, 10% a point, and
//! the size above the limit, ten times what it is of it.
//!
//! Source: Kirkpatrick, Gelatt, Vecchi, "Optimization by simulated annealing" (Science 220, 1983).

use engine::rng::Rng;

use super::{Goal, NO_NETWORK, Point, Searcher, Trials};

/// The temperatures at both ends.
const HOT: f64 = 0.05;
const COLD: f64 = 0.001;
/// Energy of a point of accuracy below the floor, or lost.
const POINT: f64 = 0.1;
/// What counts as the accuracy where there is no network.
const WORST: f64 = -1e6;
/// Energy of the size above a limit, as a share of it.
const EXCESS: f64 = 10.0;

/// Simulated annealing from the uniform width at the bound.
pub struct Annealing;

impl Searcher for Annealing {
    fn name(&self) -> &'static str {
        "annealing"
    }

    fn summary(&self) -> &'static str {
        "random steps, uphill too while it is hot (simulated annealing)"
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        let start = trials.uniform_at_the_bound()?;
        let start = trials.point(&start)?;
        let (goal, mut now, mut rng) = (trials.limits.goal, start.clone(), trials.rng(0));
        // Where there is no network it is as bad as can be, but finite: one may have to walk through.
        let accuracy = |p: &Point| if p.accuracy > NO_NETWORK { p.accuracy } else { WORST };
        let energy = |p: &Point| match goal {
            Goal::Smallest { floor } => {
                p.size as f64 / start.size as f64 + POINT * (floor - accuracy(p)).max(0.0)
            }
            Goal::MostAccurate { limit } => {
                POINT * (accuracy(&start) - accuracy(p))
                    + EXCESS * (p.size as f64 / limit as f64 - 1.0).max(0.0)
            }
        };
        let budget = trials.left().max(1) as f64;
        loop {
            let done = 1.0 - trials.left() as f64 / budget;
            let temperature = HOT * (COLD / HOT).powf(done);
            let next = step(&now.bits, trials, &mut rng);
            let next = trials.point(&next)?;
            let worse = energy(&next) - energy(&now);
            if worse <= 0.0 || rng.uniform_f64() < (-worse / temperature).exp() {
                now = next;
            }
        }
    }
}

/// A neighbour of `bits`: half of the steps take a bit, a quarter give one, a quarter do both.
fn step(bits: &[u32], trials: &Trials<'_>, rng: &mut Rng) -> Vec<u32> {
    let mut next = bits.to_vec();
    let (take, give) = [(true, false), (true, false), (false, true), (true, true)][rng.below(4)];
    if take {
        let layer = rng.below(next.len());
        next[layer] = next[layer].saturating_sub(1).max(trials.limits.min_bits);
    }
    if give {
        let layer = rng.below(next.len());
        next[layer] = (next[layer] + 1).min(trials.limits.max_bits);
    }
    next
}
