//! Chapter 5: a range in training.

use crate::{Answer, Unsolved};

/// (5a): the maximum after batches with these maxima. The first sets it; there is at least one.
pub fn maximum_after(_batches: &[f32], _decay: f32) -> Answer<f32> {
    Err(Unsolved)
}
