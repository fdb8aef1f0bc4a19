//! The second baseline: random widths of the size that is wanted. Whoever claims to know which layer needs bits must
//! beat it.
//!
//! A candidate is drawn with every layer at a random width; then random layers lose or gain a bit until the size is
//! within 2% below the target. The target lies between two thirds of the best size so far and that size: so the budget
//! is spent where the other searchers spend theirs, and not on sizes that nobody asks about. Under a limit of the size the
//! target is the limit.

use engine::rng::Rng;

use super::{Goal, Searcher, Trials};

/// Random widths of the best size so far, or a little less.
pub struct Random;

/// How far below its target a size may be, as a share of it.
const SLACK: f64 = 0.02;
/// How far below the best size targets go, as a share of it.
const SPREAD: f64 = 1.0 / 3.0;
/// Candidates that are announced at once.
const AHEAD: usize = 24;

impl Searcher for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn summary(&self) -> &'static str {
        "random widths of the best size so far, or less"
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        let start = trials.uniform_at_the_bound()?;
        let (mut best, spread) = match trials.limits.goal {
            Goal::Smallest { .. } => (trials.size(&start), SPREAD),
            Goal::MostAccurate { limit } => (limit, 0.0),
        };
        let mut rng = trials.rng(0);
        let mut announced = 0;
        let least = trials.uniform(trials.limits.min_bits);
        loop {
            if trials.size(&least) >= best {
                return trials.accuracy(&least).map(|_| ()); // there is nothing else to draw
            }
            if announced == 0 {
                // What is drawn next unless one of them is better; what is then drawn in vain is never asked for.
                let mut ahead = rng.clone();
                let next: Vec<_> = (0..AHEAD).map(|_| draw(trials, &mut ahead, best, spread)).collect();
                trials.announce(next)?;
                announced = AHEAD;
            }
            announced -= 1;
            let bits = draw(trials, &mut rng, best, spread);
            if trials.holds(&bits)? && trials.size(&bits) < best && spread > 0.0 {
                (best, announced) = (trials.size(&bits), 0);
            }
        }
    }
}

/// Random widths of at most `best` bytes.
fn draw(trials: &Trials<'_>, rng: &mut Rng, best: usize, spread: f64) -> Vec<u32> {
    let target = best as f64 * (1.0 - rng.uniform_f64() * spread);
    of_size(trials, rng, target)
}

/// Random widths of at most `target` bytes, and at least `1 - SLACK` of it where that is possible.
pub fn of_size(trials: &Trials<'_>, rng: &mut Rng, target: f64) -> Vec<u32> {
    let (min, max) = (trials.limits.min_bits, trials.limits.max_bits);
    let mut bits: Vec<u32> =
        trials.layers.iter().map(|_| min + rng.below((max - min + 1) as usize) as u32).collect();
    // Each step goes towards the target; a layer that jumps over it jumps back, so their number is bounded.
    for _ in 0..200 * bits.len() {
        let size = trials.size(&bits) as f64;
        if size <= target && size >= target * (1.0 - SLACK) {
            break;
        }
        let end = if size > target { min } else { max };
        if bits.iter().all(|b| *b == end) {
            break; // as near as can be
        }
        let layer = rng.below(bits.len());
        if size > target {
            bits[layer] = bits[layer].saturating_sub(1).max(min);
        } else {
            bits[layer] = (bits[layer] + 1).min(max);
        }
    }
    bits
}
