//! Chapter 0: a gradient in terms of the output.

use crate::{Answer, Unsolved};

/// `dx` of the sigmoid `y = 1 / (1 + exp(-x))`, from its output `y` and from `dy`. Why is it convenient on a tape that
/// `x` is not needed?
pub fn sigmoid_gradient(_y: f32, _dy: f32) -> Answer<f32> {
    Err(Unsolved)
}
