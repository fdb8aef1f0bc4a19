//! Chapter 9: the gradient of a learned step.

use crate::{Answer, Unsolved};

/// (9c) in the form of LSQ: `dx_hat/ds` of one value. At the ends of the range and beyond it is `qmin` or `qmax`.
pub fn step_gradient(_x: f32, _s: f32, [_qmin, _qmax]: [i32; 2]) -> Answer<f32> {
    Err(Unsolved)
}
