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
        let widths = (trials.limits.min_bits..=trials.limits.max_bits).rev();
        let widths: Vec<_> = widths.map(|bits| trials.uniform(bits)).collect();
        trials.announce(widths.clone())?;
        widths.iter().try_for_each(|bits| trials.accuracy(bits).map(|_| ()))
    }
}
