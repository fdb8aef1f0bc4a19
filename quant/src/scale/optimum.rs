//! The scale of least mean squared error, by brute force: the yardstick of the other rules.

use super::level_sums::LevelSums;
use super::{Sample, mse};
use crate::Grid;

/// `(scale, mse)` of the best of 20,000 scales over the range of `x` after refining the best 256
/// dips. `(1, 0)` if every value is zero. Too slow for training; for tables and tests.
///
/// The scale is returned in `f64`: what it gains in the eighth digit is not lost to rounding.
pub fn optimum(x: &Sample<'_>, grid: Grid) -> (f64, f64) {
    let sums = LevelSums::new(x);
    let largest = sums.largest_scale(grid);
    if largest <= 0.0 {
        return (1.0, sums.mse(1.0, grid));
    }
    let s = mse::search(&sums, grid, &mse::sweep(largest * 1.1, 20_000), 256);
    (s, sums.mse(s, grid))
}
