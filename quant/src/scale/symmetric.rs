//! `symmetric`: the largest value sets the scale.
//!
//! ```text
//! signed    s = max|x| / 2^(b-1)
//! unsigned  s = max x / (2^b - 1)
//! ```
//!
//! On the signed grid `x = +max|x|` lands on `2^(b-1)`, one above `qmax`, and clips by one step: the
//! range is `[-max, max - s]`. That is intended (the scale is then a plain power-of-two fraction of
//! the maximum), and shows in the clipping part of the bias: see [`crate::numbers::analysis`].

use super::{Sample, ScaleRule};
use crate::Grid;

/// The table's line.
pub const RULE: ScaleRule =
    ScaleRule { name: "symmetric", summary: "the largest absolute value sets the scale", raw: scale };

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    let largest = x.values().iter().fold(0.0f32, |m, &v| m.max(if grid.is_signed() { v.abs() } else { v }));
    f64::from(largest) / f64::from(grid.steps())
}
