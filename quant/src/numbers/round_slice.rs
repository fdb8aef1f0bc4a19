//! Eq 1 over a slice, fast: equal to [`quantize_value`] on every input, in `f32` and without a branch.
//!
//! It works in `f32` and turns to the exact `f64` quotient only where the result sits on a tie or close to one.

use engine::Result;

use crate::Grid;
use crate::numbers::uniform::quantize_value;

/// Elements handled between two looks at the doubt flag of [`round_slice`].
const LANES: usize = 64;

/// Adding and subtracting `1.5 * 2^23` rounds any `|t| <= 2^22` to an integer, half to even: in
/// `[2^23, 2^24)` the spacing of `f32` is exactly one.
const TO_INTEGER: f32 = 12_582_912.0;

/// Bounds up to which [`round_slice`] multiplies by `1 / s` instead of dividing by `s`.
const SMALL: f32 = 512.0;

/// Eq 1 over a slice, before `z` is subtracted: `y[i] = finish(r)` of the integer `r = x_int + z` (as
/// `f32`, exact) of each `x[i]`.
///
/// Clips first and rounds then, which gives the same because the bounds are integers; vectorises;
/// equal to [`quantize_value`] for every input (see the note on exactness in [`uniform`](crate::numbers::uniform)).
///
/// On grids of up to 8 bits or so it multiplies by `1 / s`. The product is within `2^-22` of the quotient, relatively, so
/// it rounds to another integer only if it lies as close as that to a tie; there, and on NaN, `quantize_value` decides.
///
/// # Errors
/// If a value is NaN (`y` is then partly written).
#[inline(always)]
pub fn round_slice<T>(
    x: &[f32],
    y: &mut [T],
    s: f32,
    z: i32,
    grid: Grid,
    finish: impl Fn(f32) -> T,
) -> Result<()> {
    let (lo, hi) = ((grid.qmin + z) as f32, (grid.qmax + z) as f32);
    let bound = lo.abs().max(hi.abs());
    let inverse = 1.0 / s;
    if bound <= SMALL && inverse.is_normal() {
        let sure = 0.5 - bound * (1.0 / (1 << 22) as f32);
        round_blocks(x, y, [lo, hi], sure, |x| x * inverse, |x| quantize_value(x, s, z, grid), z, finish)
    } else {
        round_blocks(x, y, [lo, hi], 0.5, |x| x / s, |x| quantize_value(x, s, z, grid), z, finish)
    }
}

/// The loops of [`round_slice`]: `quotient(x)`, clipped, is trusted where it lies less than `sure` from its rounding.
#[inline(always)]
#[expect(clippy::too_many_arguments)]
fn round_blocks<T>(
    x: &[f32],
    y: &mut [T],
    [lo, hi]: [f32; 2],
    sure: f32,
    quotient: impl Fn(f32) -> f32,
    exact: impl Fn(f32) -> Result<i32>,
    z: i32,
    finish: impl Fn(f32) -> T,
) -> Result<()> {
    let mut rounded = [0.0f32; LANES];
    let mut distance = [0.0f32; LANES];
    for (x, y) in x.chunks(LANES).zip(y.chunks_mut(LANES)) {
        let mut doubt = 0u32;
        for ((r, d), &x) in rounded.iter_mut().zip(&mut distance).zip(x) {
            let t = quotient(x);
            let t = if lo > t { lo } else { t };
            let t = if hi < t { hi } else { t };
            *r = (t + TO_INTEGER) - TO_INTEGER;
            *d = (t - *r).abs();
            // True near a tie, and on NaN, which every comparison lets through.
            #[expect(clippy::neg_cmp_op_on_partial_ord)]
            let unsure = !(*d < sure);
            doubt |= u32::from(unsure);
        }
        if doubt != 0 {
            settle(x, &mut rounded, &distance, sure, z, &exact)?;
        }
        for (y, &r) in y.iter_mut().zip(&rounded) {
            *y = finish(r);
        }
    }
    Ok(())
}

/// Takes the exact code where the rounding is in doubt.
#[cold]
#[inline(never)]
fn settle(
    x: &[f32],
    rounded: &mut [f32],
    distance: &[f32],
    sure: f32,
    z: i32,
    exact: &impl Fn(f32) -> Result<i32>,
) -> Result<()> {
    for ((r, d), &x) in rounded.iter_mut().zip(distance).zip(x) {
        if d.is_nan() || *d >= sure {
            *r = (exact(x)? + z) as f32;
        }
    }
    Ok(())
}

/// The integer that `r` is, for `|r| <= 2^22`: with `1.5 * 2^23` added, it stands in the mantissa.
#[inline(always)]
pub fn integer_of(r: f32) -> i32 {
    (r + TO_INTEGER).to_bits() as i32 - TO_INTEGER.to_bits() as i32
}
