//! The plain form of the coder: what bits are worth, in real numbers.

use super::{BitModel, Coder};

/// Adds up
///
/// ```text
/// L  =  - sum log2 P(bit)                                                           (6j)
/// ```
///
/// the bits that no coder with these models can go below on average. [`Encoder`](super::Encoder) rounds `P` to 16 bits and
/// the result to bytes, and is tested against this.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ideal {
    /// `L`.
    pub bits: f64,
}

impl Coder for Ideal {
    fn bit(&mut self, bit: bool, model: &mut BitModel) -> bool {
        let one = model.probability();
        self.bits -= (if bit { one } else { 1.0 - one }).log2();
        model.learn(bit);
        bit
    }

    fn even(&mut self, value: u64, count: u32) -> u64 {
        self.bits += f64::from(count);
        value
    }
}
