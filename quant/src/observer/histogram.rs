//! A histogram whose range grows: every scale rule can be asked about values that were seen once and
//! are gone.
//!
//! 4096 bins of equal width lie symmetrically around zero. When a value falls outside, the width is
//! doubled and pairs of bins are merged (counts stay exact) until it fits, so the order of the batches
//! changes nothing but the first width. The extremes are kept exactly beside the bins, and so is the
//! number of exact zeros, which after a ReLU are about half of everything and would otherwise count as
//! half a bin's width.

use engine::Result;

use super::{Observer, Range};
use crate::scale::{Sample, percentile};
use crate::{Grid, ScaleRule};

const BINS: usize = 4096;

/// Counts of values.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    /// Bin width: always a power of two, so that merging keeps every edge an edge. 0 before the first value.
    width: f32,
    zeros: u64,
    range: Option<Range>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BINS], width: 0.0, zeros: 0, range: None }
    }
}

impl Histogram {
    /// Number of values seen.
    pub fn total(&self) -> u64 {
        self.zeros + self.counts.iter().sum::<u64>()
    }

    /// Every bin that holds something, as (centre, count), ascending; the bin of exact zeros stands for
    /// itself.
    pub fn bins(&self) -> (Vec<f32>, Vec<f64>) {
        let centre = |i: usize| (i as f32 - (BINS / 2) as f32 + 0.5) * self.width;
        let mut values = Vec::new();
        let mut weights = Vec::new();
        for i in 0..BINS {
            if i == BINS / 2 && self.zeros > 0 {
                values.push(0.0);
                weights.push(self.zeros as f64);
            }
            if self.counts[i] > 0 {
                values.push(centre(i));
                weights.push(self.counts[i] as f64);
            }
        }
        (values, weights)
    }

    /// The scale by `rule` on `grid`; exact for `symmetric`, to the width of a bin for `percentile`. Rules that look for the least of
    /// something (`heuristic`, `entropy`) find that of the bins' centres, which may lie elsewhere where the curve is flat; above 8
    /// bits they find no more than the scale that covers the range. 1 before the first value.
    pub fn scale(&self, rule: ScaleRule, grid: Grid) -> f32 {
        let Some(range) = self.range else { return 1.0 };
        let covering = ScaleRule::SYMMETRIC.scale_of(&Sample::new(&[range.min, range.max]), grid);
        if rule == ScaleRule::SYMMETRIC {
            return covering;
        }
        let (values, weights) = self.bins();
        let scale = rule.scale_of(&Sample::weighted(&values, &weights), grid);
        // Codes of more than 8 bits tell apart what lies in one bin. To a rule that sees the centres alone every step under
        // which these are levels is exact; those above the one that covers the range only lose bits.
        if grid.bits() > 8 { scale.min(covering) } else { scale }
    }

    /// The clipping value that keeps the fraction `kept` of the values inside.
    pub fn percentile(&self, kept: f64, signed: bool) -> f64 {
        let (values, weights) = self.bins();
        percentile::alpha(&Sample::weighted(&values, &weights), signed, kept)
    }

    /// The range an activation quantizer of `bits` bits should cover by `rule`: `[0, s (2^b - 1)]` if
    /// nothing is negative, else the range of the values. `None` before the first value.
    ///
    /// # Errors
    /// Unless `1 <= bits <= 16`.
    pub fn clip_range(&self, rule: ScaleRule, bits: u32) -> Result<Option<Range>> {
        let grid = Grid::unsigned(bits)?;
        Ok(self.range.map(|range| {
            if range.min < 0.0 || range.max <= 0.0 {
                return range;
            }
            Range::of_step(self.scale(rule, grid), grid)
        }))
    }

    /// Doubles the width until `largest` fits.
    fn make_room(&mut self, largest: f32) {
        if self.width == 0.0 {
            // The power of two just above: half the bins are in use from the start. At least 2^-100, so
            // that denormal values do not make the width zero.
            let exponent = f64::from(largest).log2().ceil().max(-100.0);
            self.width = (exponent - f64::from((BINS / 2).ilog2())).exp2() as f32;
        }
        while largest >= self.width * (BINS / 2) as f32 {
            let merged: Vec<u64> = self.counts.chunks(2).map(|pair| pair[0] + pair[1]).collect();
            self.counts.fill(0);
            self.counts[BINS / 4..BINS / 4 + BINS / 2].copy_from_slice(&merged);
            self.width *= 2.0;
        }
    }
}

impl Observer for Histogram {
    fn observe(&mut self, x: &[f32]) -> Result<()> {
        let Some(batch) = Range::of(x)? else { return Ok(()) };
        let largest = batch.max.abs().max(batch.min.abs());
        if largest > 0.0 {
            self.make_room(largest);
        }
        let (inverse, last) = (1.0 / self.width, BINS as i32 - 1);
        for &v in x {
            if v == 0.0 {
                self.zeros += 1;
            } else if v.is_finite() {
                // The width is a power of two: the product is exact.
                let bin = (v * inverse).floor() as i32 + (BINS / 2) as i32;
                self.counts[bin.clamp(0, last) as usize] += 1;
            }
        }
        self.range = Some(self.range.map_or(batch, |r| r.union(batch)));
        Ok(())
    }

    fn range(&self) -> Option<Range> {
        self.range
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Rng;

    use super::*;

    #[test]
    fn fine_grids_cover_the_range_and_no_more() {
        let mut histogram = Histogram::default();
        let mut rng = Rng::new(1, 0);
        let x: Vec<f32> = (0..20_000).map(|_| rng.normal().max(0.0)).collect();
        histogram.observe(&x).unwrap();
        let largest = histogram.range().unwrap().max;
        for bits in 9..=16 {
            let range = histogram.clip_range(ScaleRule::HEURISTIC, bits).unwrap().unwrap();
            assert!(
                range.max <= 1.001 * largest,
                "{bits} bits: {} where the largest value is {largest}",
                range.max
            );
        }
    }
}
