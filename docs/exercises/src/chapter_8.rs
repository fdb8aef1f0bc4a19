//! Chapter 8: where floats are exact.

use crate::{Answer, Unsolved};

/// (8b): whether `f32` surely computes `sum (x_int + z_x) w_int` exactly in any order, if no `|x_int + z_x|` exceeds
/// `largest_x`.
pub fn is_exact(_largest_x: u64, _w_int: &[i8]) -> Answer<bool> {
    Err(Unsolved)
}
