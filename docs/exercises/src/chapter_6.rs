//! Chapter 6: a price on accuracy.

use crate::{Answer, Unsolved};

/// (6b): which width each layer chooses at the price `lambda`. `layers[l][i]` is `[bytes, drop]` of layer `l` at its
/// `i`-th width; the answer is one `i` for each layer.
pub fn widths_at_price(_layers: &[Vec<[f64; 2]>], _lambda: f64) -> Answer<Vec<usize>> {
    Err(Unsolved)
}
