//! `sawb`: statistics-aware weight binning, with the published constants.
//!
//! ```text
//! alpha = c1 sqrt(E[x^2]) - c2 E|x|        s = alpha / 2^(b-1)
//! ```
//!
//! Source: Choi et al., "Accurate and Efficient 2-bit Quantized Neural Networks" (SysML 2019): the
//! optimal clipping value is close to linear in the two moments, over six shapes of distribution. The
//! constants are those of the course's table, kept there as `[1/c1, c2/c1]`.
//!
//! They were fitted for a grid without a zero (levels at odd multiples of half a step), so on eq 1's
//! grid the 2-bit alpha comes out about 30% too small. This rule stays literal;
//! [`sawb_refit`] derives the constants anew.
//!
//! Only signed grids of 2, 4 and 8 bits are published. Any other grid takes `sawb_refit`'s constants.

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
