//! What each layer costs alone: the accuracy with one layer at `b` bits and all others at the most.
//!
//! ```text
//! drop[l][b]  =  max( 0, accuracy(all at max)  -  accuracy(layer l at b, the others at max) )
//! ```

use super::{Goal, NO_NETWORK, Trials};

/// The measured table.
pub struct Sensitivity {
    /// Accuracy with every layer at the most bits.
    pub baseline: f64,
    /// `drops[layer][b - min_bits]`, never negative; infinite where there is [no network](super::NO_NETWORK).
    pub drops: Vec<Vec<f64>>,
}

impl Sensitivity {
    /// Measures every layer at every width: `layers * (max - min) + 1` measurements.
    pub fn measure(trials: &mut Trials<'_>) -> Option<Self> {
        let widths = trials.limits.min_bits..=trials.limits.max_bits;
        let full = trials.uniform(trials.limits.max_bits);
        let alone = |(layer, b): (usize, u32)| {
            let mut bits = full.clone();
            bits[layer] = b;
            bits
        };
        let table = (0..full.len()).flat_map(|layer| widths.clone().map(move |b| (layer, b)));
        trials.announce(std::iter::once(full.clone()).chain(table.map(alone)))?;
        let baseline = trials.accuracy(&full)?;
        let mut drops = Vec::new();
        for layer in 0..full.len() {
            let mut drop = |b| match trials.accuracy(&alone((layer, b)))? {
                NO_NETWORK => Some(f64::INFINITY),
                accuracy => Some((baseline - accuracy).max(0.0)),
            };
            drops.push(widths.clone().map(&mut drop).collect::<Option<Vec<f64>>>()?);
        }
        Some(Self { baseline, drops })
    }

    /// The costs that the caller brought, or the measured drops; the second is the accuracy that may be lost in terms of
    /// them, where they are accuracies and there is a floor.
    pub fn costs(trials: &mut Trials<'_>) -> Option<(Vec<Vec<f64>>, Option<f64>)> {
        if let Some(costs) = trials.costs {
            return Some((costs.to_vec(), None));
        }
        let measured = Self::measure(trials);
        trials.costs_cut_short = measured.is_none() && trials.left() == 0;
        let measured = measured?;
        let allowed = match trials.limits.goal {
            Goal::Smallest { floor } => Some(measured.baseline - floor),
            Goal::MostAccurate { .. } => None,
        };
        Some((measured.drops, allowed))
    }
}
