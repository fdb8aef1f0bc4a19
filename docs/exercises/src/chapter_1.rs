//! Chapter 1: a code.

use crate::{Answer, Unsolved};

/// Eq 1 on the grid of eq 2: the code of `x` with scale `s` and zero point `z`, half to even, `bits` from 1 to 16.
/// Divide in `f64`, and mind the order of clipping and subtracting.
pub fn code(_x: f32, _s: f32, _z: i32, _bits: u32, _signed: bool) -> Answer<i32> {
    Err(Unsolved)
}
