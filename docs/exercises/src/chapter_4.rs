//! Chapter 4: the width of a sum.

use crate::{Answer, Unsolved};

/// (4c): the fewest bits of a signed integer that surely hold `sum (x_int + z_x) w_int + b_int`, if no
/// `|x_int + z_x|` exceeds `largest_x`. (`n` bits hold everything below `2^(n-1)` in magnitude.)
pub fn accumulator_bits(_largest_x: u64, _w_int: &[i8], _b_int: i64) -> Answer<u32> {
    Err(Unsolved)
}
