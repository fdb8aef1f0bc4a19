//! `sawb_refit`: SAWB's form with constants derived for eq 1's grid.
//!
//! ```text
//! alpha = c1 sqrt(E[x^2]) - c2 E|x|        s = alpha / 2^(b-1)  signed,  alpha / (2^b - 1)  unsigned
//! ```
//!
//! [`derive`](fn@derive) does what the paper did, on the grid that is used here (with a zero, one step longer on
//! the negative side): for each of six distributions find the `alpha*` of least mean squared error,
//! then fit, by least squares over the six, the line
//!
//! ```text
//! alpha* / E|x|  =  c1 ( sqrt(E[x^2]) / E|x| )  -  c2                                            (2d)
//! ```
//!
//! The distributions are normal, uniform, Laplace, logistic, triangle and von Mises (kappa = 1); an
//! unsigned grid sees their positive halves. The results are kept in [`CONSTANTS`]; a test derives them
//! again.
//!
//! On an unsigned grid the moments are those of the values above zero, as in the fit. What a ReLU makes zero has no error under
//! any scale, so that the best one does not depend on how much of it there is; the moments would.
//!
//! Widths above 8 bits have no constants and take the symmetric scale: so many levels need no clipping.

use super::level_sums::LevelSums;
use super::{Sample, ScaleRule, binning, heuristic};
use crate::Grid;

/// The table's line.
pub const RULE: ScaleRule = ScaleRule {
    name: "sawb_refit",
    summary: "SAWB's form with constants fitted to this grid, 1 to 8 bits",
    raw: scale,
};

/// `[signed (c1, c2), unsigned (c1, c2)]` for 1 to 8 bits, from [`derive`](fn@derive).
pub const CONSTANTS: [[(f64, f64); 2]; 8] = [
    [(2.5307, 1.6096), (2.5321, 1.6113)],
    [(4.8148, 3.4072), (6.9418, 6.3036)],
    [(8.3832, 7.5388), (11.8286, 11.8653)],
    [(12.7834, 12.7631), (16.9178, 17.7981)],
    [(17.5474, 18.4302), (22.1972, 24.0233)],
    [(22.573, 24.4125), (27.5545, 30.3749)],
    [(27.7965, 30.6349), (33.024, 36.8813)],
    [(33.1728, 37.0452), (38.5704, 43.493)],
];

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    let Some([signed, unsigned]) = CONSTANTS.get(grid.bits() as usize - 1) else { return 0.0 };
    if grid.is_signed() {
        return binning::scale_from_moments(x, grid, *signed);
    }
    let (values, weights): (Vec<f32>, Vec<f64>) = x.iter().filter(|(x, _)| *x > 0.0).unzip();
    binning::scale_from_moments(&Sample::weighted(&values, &weights), grid, *unsigned)
}

/// A density (up to a factor) and the largest `|x|` to integrate to.
type Shape = (&'static str, fn(f64) -> f64, f64);

/// The six distributions.
const SHAPES: [Shape; 6] = [
    ("normal", |x| (-0.5 * x * x).exp(), 9.0),
    ("uniform", |_| 1.0, 1.0),
    ("laplace", |x| (-x.abs()).exp(), 40.0),
    ("logistic", |x| 1.0 / (0.5 * x).cosh().powi(2), 40.0),
    ("triangle", |x| 1.0 - x.abs(), 1.0),
    ("von mises", |x| x.cos().exp(), std::f64::consts::PI),
];

/// Points each density is sampled at, midpoints of equal steps.
const POINTS: usize = 200_000;

/// `(c1, c2)` of a grid, by the least-squares fit described above. Takes about a second.
pub fn derive(grid: Grid) -> (f64, f64) {
    let points: Vec<(f64, f64)> = SHAPES.iter().map(|shape| fit_point(shape, grid)).collect();
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (x, y, xx, xy) = (mean(|p| p.0), mean(|p| p.1), mean(|p| p.0 * p.0), mean(|p| p.0 * p.1));
    let c1 = (xy - x * y) / (xx - x * x);
    (c1, c1 * x - y)
}

/// `( sqrt(E[x^2]) / E|x| , alpha* / E|x| )` of one distribution.
fn fit_point(&(_, density, reach): &Shape, grid: Grid) -> (f64, f64) {
    let lowest = if grid.is_signed() { -reach } else { 0.0 };
    let step = (reach - lowest) / POINTS as f64;
    let x: Vec<f32> = (0..POINTS).map(|i| (lowest + step * (i as f64 + 0.5)) as f32).collect();
    let w: Vec<f64> = x.iter().map(|&x| density(f64::from(x))).collect();
    let sample = Sample::weighted(&x, &w);
    let sums = LevelSums::new(&sample);
    let s = heuristic::search(&sums, grid, &heuristic::sweep(sums.largest_scale(grid), 512), 16);
    let m = sample.moments();
    (m.mean_square.sqrt() / m.mean_abs, s * f64::from(grid.steps()) / m.mean_abs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of -3 and 1, where `E[x^2] = 5` and `E|x| = 2`; of the positive half alone, 1 and 1.
    #[test]
    fn the_rule_by_hand() {
        let x = Sample::new(&[-3.0, 1.0]);
        for (bits, [signed, unsigned]) in (1..).zip(CONSTANTS) {
            let of = |(c1, c2): (f64, f64), root: f64, mean: f64, signed: bool| {
                let grid = Grid::new(bits, signed).unwrap();
                let alpha = c1 * root - c2 * mean;
                let (found, s) = (scale(&x, grid), alpha / f64::from(grid.steps()));
                assert!((found - s).abs() < 1e-6 * s.abs(), "{bits} bits, signed: {signed}: {found}, {s}");
            };
            of(signed, 5f64.sqrt(), 2.0, true);
            of(unsigned, 1.0, 1.0, false);
        }
        assert_eq!(scale(&x, Grid::signed(9).unwrap()), 0.0); // the symmetric rule answers
    }

    #[test]
    fn what_a_relu_makes_zero_does_not_change_the_scale() {
        let grid = Grid::unsigned(4).unwrap();
        let values: Vec<f32> = (1..500).map(|i| (i * i % 97) as f32 / 10.0 + 0.1).collect();
        let rectified: Vec<f32> = values.iter().flat_map(|&x| [x, 0.0, -x]).collect();
        let of = |x: &[f32]| scale(&Sample::new(x), grid);
        assert!(of(&values) > 0.0);
        assert!((of(&values) - of(&rectified)).abs() < 1e-12, "{} {}", of(&values), of(&rectified));
    }

    #[test]
    fn constants_are_the_derived_ones() {
        let derived: Vec<_> = (1..=8)
            .map(|bits| [true, false].map(|signed| derive(Grid::new(bits, signed).expect("1 to 8 bits"))))
            .collect();
        for (row, baked) in derived.iter().zip(CONSTANTS) {
            for ((d1, d2), (c1, c2)) in row.iter().zip(baked) {
                assert!((c1 - d1).abs() < 2e-3 && (c2 - d2).abs() < 2e-3, "derived now: {derived:.4?}");
            }
        }
    }
}
