//! Observers: what is remembered of activations, which are seen a batch at a time.
//!
//! | observer | remembers | used by |
//! |---|---|---|
//! | [`MinMax`] | the smallest and largest value so far | calibration, simplest |
//! | [`MovingAverage`] | a moving average of each batch's extremes, decay 0.99 | training |
//! | [`Histogram`] | counts in 4096 bins that grow with the range | calibration by any scale rule |

mod histogram;
mod min_max;
mod moving_average;

pub use histogram::Histogram;
pub use min_max::MinMax;
pub use moving_average::MovingAverage;

use engine::kernel::{Isa, Plain};
use engine::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::numbers::entry::{CHUNK, affine};
use crate::{Grid, QParams};

/// The step with which to go through `len` values of `channels` side by side to see about `most` of them: a step that shares
/// no divisor with the channels meets all of them, and any other the same few again and again.
pub fn sampling_stride(len: usize, most: usize, channels: usize) -> usize {
    let shares =
        |stride: usize| (2..=channels).any(|d| stride.is_multiple_of(d) && channels.is_multiple_of(d));
    (len.div_ceil(most).max(1)..).find(|&stride| !shares(stride)).unwrap_or(1)
}

/// Something that watches batches of values.
pub trait Observer {
    /// Takes in one batch. Infinite values are left out: they clip under any scale.
    ///
    /// # Errors
    /// If a value is NaN; the observer is unchanged.
    fn observe(&mut self, x: &[f32]) -> Result<()>;

    /// The range seen, or `None` before the first finite value.
    fn range(&self) -> Option<Range>;
}

/// A real interval to be represented.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Range {
    /// Lower end.
    pub min: f32,
    /// Upper end.
    pub max: f32,
}

impl Range {
    /// The range of the finite values of `x`; `None` if there are none.
    ///
    /// # Errors
    /// If a value is NaN.
    pub fn of(x: &[f32]) -> Result<Option<Self>> {
        let chunks = x.par_chunks(CHUNK).map(|x| Isa::active().run_plain(Extremes { x }));
        let (min, max, nan) = chunks.reduce(
            || (f32::INFINITY, f32::NEG_INFINITY, false),
            |(a, b, c), (d, e, f)| (a.min(d), b.max(e), c | f),
        );
        if nan {
            let i = x.iter().position(|v| v.is_nan()).unwrap_or_default();
            return Err(Error::value("observe", format!("element {i} is NaN")));
        }
        Ok((min <= max).then_some(Self { min, max }))
    }

    /// What the unsigned grid covers with the step `s`, from 0 to `s (2^b - 1)`, as far as there are floats.
    pub(crate) fn of_step(s: f32, grid: Grid) -> Self {
        Self { min: 0.0, max: (s * grid.qmax as f32).min(f32::MAX) }
    }

    /// The smallest range that contains both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// The quantizer that covers the range with the unsigned grid of `bits` bits: `z = 0` and
    /// `s = max / (2^b - 1)` if nothing is negative (after a ReLU), else the affine one, whose `z` gives
    /// real zero a code. A range of nothing but zero gets scale 1.
    ///
    /// # Errors
    /// Unless `1 <= bits <= 16` and both ends are finite.
    pub fn params(self, bits: u32) -> Result<QParams> {
        let grid = Grid::unsigned(bits)?;
        if !(self.min.is_finite() && self.max.is_finite()) {
            return Err(Error::value("range", format!("{} to {} has no step", self.min, self.max)));
        }
        let (s, z) = affine(self.min, self.max, grid);
        QParams::per_tensor(grid, s, z)
    }
}

/// Smallest and largest finite number, and whether there is a NaN.
struct Extremes<'a> {
    x: &'a [f32],
}

impl Plain for Extremes<'_> {
    type Output = (f32, f32, bool);

    #[inline(always)]
    fn run(self) -> (f32, f32, bool) {
        const LANES: usize = 16;
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let mut nan = [0u32; LANES];
        for x in self.x.chunks(LANES) {
            for (l, &v) in x.iter().enumerate() {
                let infinite = v.abs() == f32::INFINITY;
                let (lo, hi) = if infinite { (f32::INFINITY, f32::NEG_INFINITY) } else { (v, v) };
                nan[l] |= u32::from(v.is_nan());
                low[l] = if lo < low[l] { lo } else { low[l] };
                high[l] = if hi > high[l] { hi } else { high[l] };
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        (low, high, nan.iter().any(|&n| n != 0))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sample_meets_every_channel() {
        for channels in [1, 3, 10, 16, 48, 64] {
            for rows in [1, 100, 1024, 102_400] {
                let (len, most) = (rows * channels, 1 << 12);
                let stride = sampling_stride(len, most, channels);
                let met: BTreeSet<usize> = (0..len).step_by(stride).map(|i| i % channels).collect();
                assert_eq!(met.len(), channels, "{channels} channels, {rows} rows, every {stride}th");
                assert!(len.div_ceil(stride) <= most.max(channels));
            }
        }
    }
}
