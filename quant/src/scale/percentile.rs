//! `percentile`: the scale that clips the largest 0.1% of the values.
//!
//! `alpha` is the smallest `a` with `|x| <= a` for at least 99.9% of the values; then as
//! [`symmetric`](super::symmetric): `s = alpha / 2^(b-1)` signed, `alpha / (2^b - 1)` unsigned (where
//! negative values count as 0: they clip to it). One outlier no longer sets the scale.

use super::{Sample, ScaleRule};
use crate::Grid;

/// The fraction of the values that is kept inside.
pub const KEPT: f64 = 0.999;

/// The table's line.
pub const RULE: ScaleRule =
    ScaleRule { name: "percentile", summary: "clips the largest 0.1% of the values", raw: scale };

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    alpha(x, grid.is_signed(), KEPT) / f64::from(grid.steps())
}

/// The clipping value that keeps the fraction `kept` of the weight inside.
pub fn alpha(x: &Sample<'_>, signed: bool, kept: f64) -> f64 {
    let mut sizes: Vec<(f32, f64)> =
        x.iter().map(|(v, w)| (if signed { v.abs() } else { v.max(0.0) }, w)).collect();
    sizes.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = sizes.iter().map(|s| s.1).sum();
    let mut below = 0.0;
    for &(size, weight) in &sizes {
        below += weight;
        if below >= kept * total {
            return f64::from(size);
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_by_hand() {
        let (x, w) = ([-9.0, 1.0, 2.0, 5.0], [1.0, 4.0, 4.0, 1.0]);
        let sample = Sample::weighted(&x, &w);
        // In order 1, 2, 5, 9 with 4, 8, 9, 10 of 10 at or below; unsigned, -9 counts as 0: 1, 5, 9, 10.
        let signed = [0.4, 0.5, 0.8, 0.85, 0.95].map(|kept| alpha(&sample, true, kept));
        assert_eq!(signed, [1.0, 2.0, 2.0, 5.0, 9.0]);
        let unsigned = [0.1, 0.2, 0.6, 0.95].map(|kept| alpha(&sample, false, kept));
        assert_eq!(unsigned, [0.0, 1.0, 2.0, 5.0]);
        assert_eq!(alpha(&Sample::new(&[]), true, 0.5), 0.0);
    }

    #[test]
    fn one_value_in_a_thousand_is_clipped() {
        let x: Vec<f32> = (1..=1000).map(|i| i as f32).collect();
        assert_eq!(RULE.scale(&x, Grid::signed(4).unwrap()).unwrap(), 999.0 / 8.0);
        assert_eq!(RULE.scale(&x, Grid::unsigned(4).unwrap()).unwrap(), 999.0 / 15.0);
    }
}
