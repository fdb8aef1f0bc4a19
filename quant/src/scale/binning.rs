//! The form that SAWB's two rules share: a clipping value from two moments.
//!
//! ```text
//! alpha = c1 sqrt(E[x^2]) - c2 E|x|        s = alpha / 2^(b-1)  signed,  alpha / (2^b - 1)  unsigned
//! ```

use super::Sample;
use crate::Grid;

/// `(c1 sqrt(E[x^2]) - c2 E|x|) / steps`; zero or negative where the form has no answer.
pub(super) fn scale_from_moments(x: &Sample<'_>, grid: Grid, (c1, c2): (f64, f64)) -> f64 {
    let m = x.moments();
    (c1 * m.mean_square.sqrt() - c2 * m.mean_abs) / f64::from(grid.steps())
}
