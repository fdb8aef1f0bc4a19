//! The scale of least mean squared error: the yardstick of the other rules.
//!
//! [`optimum`] is exact where the [sweep over all code changes](super::code_sweep) is affordable: up to
//! [`EXACT`] breakpoints, which a thousand values have at 16 bits, half a million at 8 and eight million at 4.
//! A larger sample is swept *thinned*, each value moved to the middle of its cell, and here is what that proves. The root
//! of the squared error is a distance, `e(x, s) = min over codes of |x - s k|`, and distances obey the triangle
//! inequality: if `c` are the cells' middles,
//!
//! ```text
//! | e(x, s) - e(c, s) | <= |x - c|   for every s,     so    min_s e(x, s) >= min_s e(c, s) - |x - c|
//! ```
//!
//! The right side is [`Optimum::at_least`]: no scale whatsoever has a smaller error. With cells `m` to a step of the
//! grid the two ends are about a share `2 / m` apart. Ten bits or so for any number of values keep them within a few
//! percent; beyond, the bound says little, and the optimum is the best of the thinned sample's scale, the heuristic's
//! search and every rule's own answer.

use serde::Serialize;

use super::code_sweep::{best_scale, breakpoints};
use super::{Sample, TABLE, heuristic};
use crate::Grid;

/// Breakpoints up to which the optimum is exact.
pub const EXACT: f64 = (1 << 26) as f64;

/// The best a grid can do for a sample.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Optimum {
    /// The scale.
    pub scale: f32,
    /// Its mean squared error, through eq 1 and 3 as everybody computes them.
    pub mse: f64,
    /// A proven lower bound of the mean squared error of every real scale (restored without rounding to `f32`): equal to
    /// `mse` up to that rounding where the optimum is exact.
    pub at_least: f64,
}

/// The best scale for `x` on `grid`. Every rule of [`TABLE`] is among the candidates, so none is ever better. Scale 1 and
/// no error if every value is zero. Too slow for training: for tables and tests.
pub fn optimum(x: &Sample<'_>, grid: Grid) -> Optimum {
    let cells = Cells::new(x, grid);
    let swept = match &cells {
        None => best_scale(x, grid),
        Some(cells) => best_scale(&Sample::weighted(&cells.middles, &cells.counts), grid),
    };
    let rules = TABLE.iter().map(|rule| rule.scale_of(x, grid));
    let candidates = swept.into_iter().flat_map(heuristic::neighbours).chain(rules);
    let errors = candidates.map(|s| (heuristic::error(x, s, grid), s));
    let (mse, scale) = errors.min_by(|a, b| a.0.total_cmp(&b.0)).expect("there are rules");
    let at_least = match (&cells, swept) {
        (Some(cells), Some(s)) => {
            let middles = Sample::weighted(&cells.middles, &cells.counts);
            (heuristic::real_error(&middles, s, grid).sqrt() - cells.moved).max(0.0).powi(2)
        }
        (None, Some(s)) => heuristic::real_error(x, s, grid),
        (_, None) => mse,
    };
    Optimum { scale, mse, at_least: at_least.min(mse) }
}

/// [`optimum`] by brute force: the best of `n` scales in equal steps up to twice the largest magnitude.
pub fn optimum_ref(x: &Sample<'_>, grid: Grid, n: u32) -> (f64, f64) {
    let largest = x.values().iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
    let scales = (1..=n).map(|i| 2.0 * largest * f64::from(i) / f64::from(n));
    let errors = scales.map(|s| (s, heuristic::real_error(x, s, grid)));
    errors.min_by(|a, b| a.1.total_cmp(&b.1)).expect("n is at least 1")
}

/// A large sample thinned: every value in the middle of its cell.
struct Cells {
    middles: Vec<f32>,
    counts: Vec<f64>,
    /// Root of the mean squared distance that the values have moved.
    moved: f64,
}

impl Cells {
    /// `None` if the sample need not be thinned.
    fn new(x: &Sample<'_>, grid: Grid) -> Option<Self> {
        if breakpoints(x, grid) <= EXACT {
            return None;
        }
        let values = x.values();
        let largest = values.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max);
        let width = 2.0 * largest * f64::from(grid.steps()) / EXACT;
        let (values, weights) = x.sorted();
        let (mut middles, mut counts): (Vec<f32>, Vec<f64>) = Default::default();
        let (mut moved, mut total) = (0.0, 0.0);
        for (i, &v) in values.iter().enumerate() {
            let w = weights.as_ref().map_or(1.0, |w| w[i]);
            let middle = ((f64::from(v) / width).round() * width) as f32;
            moved += w * (f64::from(v) - f64::from(middle)).powi(2);
            total += w;
            match counts.last_mut() {
                Some(count) if middles.last() == Some(&middle) => *count += w,
                _ => {
                    middles.push(middle);
                    counts.push(w);
                }
            }
        }
        Some(Self { middles, counts, moved: (moved / total).sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Rng;

    use super::*;

    #[test]
    fn brute_force_by_hand() {
        // Scales 0.3125, 0.625, ...: the second has code -2 for -1.25, the fourth code -1.
        assert_eq!(optimum_ref(&Sample::new(&[-1.25]), Grid::signed(2).unwrap(), 8), (0.625, 0.0));
    }

    /// With weights the rules only search. Among a handful of values they sometimes miss what the exact sweep finds.
    #[test]
    fn a_small_sample_is_swept_and_not_thinned() {
        let (mut rng, grid, mut missed) = (Rng::new(2, 0), Grid::signed(4).unwrap(), 0);
        for _ in 0..40 {
            let x: Vec<f32> = (0..5).map(|_| rng.normal()).collect();
            let (plain, weighted) = (Sample::new(&x), Sample::weighted(&x, &[1.0; 5]));
            let best = optimum(&weighted, grid);
            assert_eq!(best.mse, optimum(&plain, grid).mse);
            assert!((best.at_least - best.mse).abs() <= 1e-6 * best.mse + 1e-15, "{best:?}");
            let searched = heuristic::RULE.scale_of(&weighted, grid);
            missed += usize::from(heuristic::error(&weighted, searched, grid) > best.mse);
        }
        assert!(missed > 0, "has this test become blind?");
    }
}
