//! The codes of weights as bits.
//!
//! A code goes as its [`Tree`] of `b` bits. There is one set of trees for each width, which goes on learning from layer to
//! layer: layers of a width are rounded by the same rule and look alike, and what a tree of 8 bits learns in a small layer
//! is too dear to be forgotten.
//!
//! Up to [`NEIGHBOURS_UP_TO`] bits the tree is chosen by how large the codes just in front of this one are in the same filter:
//! a scale for each tensor makes some filters all small and others all large, and the neighbours tell which this is.

use std::collections::BTreeMap;

use super::{Coder, Tree};

/// Codes in front that are looked at.
const NEIGHBOURS: usize = 8;
/// Classes of what they say.
const CLASSES: usize = 8;
/// Wider codes have too many symbols to learn them eight times.
pub const NEIGHBOURS_UP_TO: u32 = 4;

/// What is known of the codes of each width.
#[derive(Clone, Debug, Default)]
pub struct WeightCodes {
    trees: BTreeMap<u32, Vec<Tree>>,
}

impl WeightCodes {
    /// Passes the `w_int` of a layer, of `bits` bits (0 to 8; of 0 there is nothing to say) and of the shape `[O, KH, KW, C]` or
    /// `[O, I]`: filter by filter, channel by channel, so that the neighbours of a code are those of the same 3x3.
    ///
    /// # Panics
    /// If the shape has one axis only, or a code has more bits.
    // book: weight_codes
    pub fn code(&mut self, c: &mut impl Coder, w_int: &mut [i8], bits: u32, dims: &[usize]) {
        if bits == 0 {
            return w_int.fill(0);
        }
        let trees = self.trees.entry(bits).or_insert_with(|| vec![Tree::new(bits); CLASSES]);
        let qmin = -(1i32 << (bits - 1));
        let &[filters, .., channels] = dims else { panic!("{dims:?} is no shape of weights") };
        let taps = w_int.len() / (filters * channels).max(1);
        let mut passed = Vec::new();
        for filter in w_int.chunks_mut((taps * channels).max(1)) {
            passed.clear();
            for i in 0..filter.len() {
                let w = &mut filter[i % taps * channels + i / taps];
                let tree = &mut trees[class(&passed[i.saturating_sub(NEIGHBOURS)..], bits)];
                *w = (tree.code(c, (i32::from(*w) - qmin) as u32) as i32 + qmin) as i8;
                passed.push(*w);
            }
        }
    }
    // book end
}

/// The mean size of the codes in front, in eight classes.
fn class(front: &[i8], bits: u32) -> usize {
    if front.is_empty() || bits > NEIGHBOURS_UP_TO {
        return 0;
    }
    let sum: usize = front.iter().map(|w| usize::from(w.unsigned_abs())).sum();
    let of_eight = sum * NEIGHBOURS / front.len();
    (of_eight >> bits.saturating_sub(2)).min(CLASSES - 1)
}
