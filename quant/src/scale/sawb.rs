//! `sawb`: statistics-aware weight binning, with the usual constants.
//!
//! ```text
//! eq 5   alpha = c1 sqrt(E[x^2]) - c2 E|x|        s = alpha / 2^(b-1)
//! ```
//!
//! Source: Choi et al., "Accurate and Efficient 2-bit Quantized Neural Networks" (SysML 2019): the
//! optimal clipping value is close to linear in the two moments, over six shapes of distribution. The
//! constants are those of the course's table, kept there as `[1/c1, c2/c1]`.
//!
//! They were fitted for a grid without a zero (levels at odd multiples of half a step), whose outermost level `alpha` is
//! `(2^b - 1) / 2` steps from zero. Eq 5 divides by `2^(b-1)`, so the step comes out at `(2^b - 1) / 2^b` of what was meant,
//! three quarters at 2 bits. This rule stays literal; [`sawb_refit`] derives the constants anew.
//!
//! The table has signed grids of 2, 4 and 8 bits. Any other grid takes `sawb_refit`'s constants.

use super::binning::scale_from_moments;
use super::{Sample, ScaleRule, sawb_refit};
use crate::Grid;

/// The table's line.
pub const RULE: ScaleRule = ScaleRule {
    name: "sawb",
    summary: "clips at c1 sqrt(E[x^2]) - c2 E|x|, constants as published",
    raw: scale,
};

/// `(c1, c2)` for a signed grid of `bits` bits: `(3.215, 2.180)`, `(12.987, 13.156)`,
/// `(31.25, 33.906)` at 2, 4, 8; `None` elsewhere.
pub fn constants(bits: u32) -> Option<(f64, f64)> {
    let [inverse_c1, ratio] = match bits {
        2 => [0.311, 0.678],
        4 => [0.077, 1.013],
        8 => [0.032, 1.085],
        _ => return None,
    };
    Some((1.0 / inverse_c1, ratio / inverse_c1))
}

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    match constants(grid.bits()) {
        Some(c) if grid.is_signed() => scale_from_moments(x, grid, c),
        _ => (sawb_refit::RULE.raw)(x, grid),
    }
}

#[cfg(test)]
mod tests {
    use super::super::heuristic::real_error;
    use super::*;

    /// Of -3 and 1, where `E[x^2] = 5` and `E|x| = 2`.
    #[test]
    fn eq_5_by_hand() {
        let x = Sample::new(&[-3.0, 1.0]);
        for (bits, c1, c2) in [(2, 3.215, 2.180), (4, 12.987, 13.156), (8, 31.25, 33.906)] {
            let s = (c1 * 5f64.sqrt() - c2 * 2.0) / 2f64.powi(bits as i32 - 1);
            let found = scale(&x, Grid::signed(bits).unwrap());
            assert!((found - s).abs() < 2e-3 * s, "{bits} bits: {found}, {s}");
        }
        for other in [Grid::signed(3), Grid::unsigned(2), Grid::unsigned(4), Grid::unsigned(8)] {
            let grid = other.unwrap();
            assert_eq!(scale(&x, grid), (sawb_refit::RULE.raw)(&x, grid));
        }
    }

    /// On eq 1's own grid: with the divisor for which the constants were made next to nothing is lost, with eq 5's a fifth.
    #[test]
    fn what_is_lost_at_two_bits_is_lost_by_the_divisor() {
        let x: Vec<f32> = (-2400..=2400).map(|i| i as f32 / 200.0).collect();
        let grid = Grid::signed(2).unwrap();
        let normal = |x: f64| (-0.5 * x * x).exp();
        let laplace = |x: f64| (-x.abs()).exp();
        for density in [&normal as &dyn Fn(f64) -> f64, &laplace] {
            let weights: Vec<f64> = x.iter().map(|&x| density(f64::from(x))).collect();
            let sample = Sample::weighted(&x, &weights);
            let error = |s: f64| real_error(&sample, s, grid);
            let least = (1..400).map(|i| error(f64::from(i) / 100.0)).fold(f64::INFINITY, f64::min);
            let alpha = 2.0 * scale(&sample, grid);
            assert!(error(alpha / 2.0) > 1.15 * least, "{} {least}", error(alpha / 2.0));
            assert!(error(alpha / 1.5) < 1.02 * least, "{} {least}", error(alpha / 1.5));
        }
    }
}
