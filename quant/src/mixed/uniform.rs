//! The first baseline: the same bits everywhere.

use super::{Searcher, Trials};

/// Every uniform width, from the most bits to the fewest.
pub struct Uniform;

impl Searcher for Uniform {
    fn name(&self) -> &'static str {
        "uniform"
    }

    fn summary(&self) -> &'static str {
        "the same bits everywhere"
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        trials.announce_uniform()?;
        for bits in (trials.limits.min_bits..=trials.limits.max_bits).rev() {
            trials.accuracy(&trials.uniform(bits))?;
        }
        Some(())
    }
}
