//! Chapter 2: the best scale.

use crate::{Answer, Unsolved};

/// (2b): the scale of least squared error of the values `x` when their codes are `k`, not all zero.
pub fn best_scale_for_codes(_x: &[f64], _k: &[f64]) -> Answer<f64> {
    Err(Unsolved)
}

/// The descent by turns: nearest codes within `qmin..=qmax` for the scale, best scale for the codes, until the scale
/// stands still. `start` is positive, and under it some code is not zero.
pub fn descend(_x: &[f64], _start: f64, [_qmin, _qmax]: [f64; 2]) -> Answer<f64> {
    Err(Unsolved)
}
