//! The form that SAWB's two rules share: a clipping value from two moments.
//!
//! ```text
//! eq 5   alpha = c1 sqrt(E[x^2]) - c2 E|x|        s = alpha / 2^(b-1)  signed,  alpha / (2^b - 1)  unsigned
//! ```

use super::Sample;
use crate::Grid;

/// `(c1 sqrt(E[x^2]) - c2 E|x|) / steps`; zero or negative where the form has no answer.
// book: scale_from_moments
pub(super) fn scale_from_moments(x: &Sample<'_>, grid: Grid, (c1, c2): (f64, f64)) -> f64 {
    let m = x.moments();
    (c1 * m.mean_square.sqrt() - c2 * m.mean_abs) / f64::from(grid.steps())
}
// book end

#[cfg(test)]
mod tests {
    use super::*;

    /// Of +-3 both moments are 3: (2 * 3 - 0.5 * 3) over 8 steps signed, over 15 unsigned.
    #[test]
    fn two_moments_by_hand() {
        let (x, form) = ([3.0, -3.0, -3.0, 3.0], (2.0, 0.5));
        let scale = |signed| scale_from_moments(&Sample::new(&x), Grid::new(4, signed).unwrap(), form);
        assert_eq!([scale(true), scale(false)], [4.5 / 8.0, 4.5 / 15.0]);
    }
}
