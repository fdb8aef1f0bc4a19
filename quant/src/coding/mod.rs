//! Entropy coding: codes in as many bits as they are worth, where [`bitpack`](crate::int_graph::bitpack) gives each its
//! width.
//!
//! Rounded weights are not equally likely: at 4 bits a third of a layer may be -1, 0 and 1, and the ends are rare. A
//! coder that knows how likely a symbol is spends `-log2 P` bits on it. Here nothing about the frequencies is stored: writer
//! and reader learn them from the symbols that went before, with the same arithmetic, in integers.
//!
//! 1. [`bit_model`]: how likely the next bit is (6h).
//! 2. [`range_coder`]: an interval that shrinks in these proportions, written as bytes (6i); and read.
//! 3. [`ideal`]: what the bits are worth (6j), in real numbers: what the coder is tested against.
//! 4. [`symbols`]: numbers, floats and text as bits.
//! 5. [`weight_codes`]: the codes of a layer as bits.
//!
//! Why a range coder of bits, and not rANS: an rANS writer runs backwards over what it has written down before, so that
//! it needs either fixed frequencies, which would have to be stored, or all of the adaptive ones kept; and its speed matters
//! for megabytes, not for the 270,000 weights here, which are read in a few hundredths of a second.
//!
//! Every structure has *one* function for both directions: it passes what there is to a [`Coder`] and keeps what comes
//! back. A writer gives back what it was given; a reader ignores what it is given (zeros, say) and gives back what it reads.
//! So the two cannot disagree about an order or a width.
//!
//! Sources: Martin, "Range encoding: an algorithm for removing redundancy from a digitised message" (Video and Data
//! Recording Conference, 1979); Krichevsky and Trofimov, "The performance of universal encoding" (IEEE Transactions on
//! Information Theory 27, 1981) for (6h).

pub mod bit_model;
pub mod ideal;
pub mod range_coder;
pub mod symbols;
pub mod weight_codes;

pub use bit_model::BitModel;
pub use ideal::Ideal;
pub use range_coder::{Decoder, Encoder};
pub use symbols::{Floats, Integers, Number, Text, Tree};
pub use weight_codes::WeightCodes;

use engine::Result;

/// What a stretch of a file holds, for those who want to know where its bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// What the network is: shapes, widths, texts.
    Header,
    /// Scales and ranges.
    Scales,
    /// What stays in floats (norms, biases), or multipliers and biases of an integer-only network.
    Norms,
    /// The weights.
    Codes,
}

/// Something bits go through: a writer, a reader, or a measure.
pub trait Coder {
    /// One bit that `model` knows something about, and learns from.
    fn bit(&mut self, bit: bool, model: &mut BitModel) -> bool;

    /// The lower `count` bits of `value`, of which nobody knows anything; the highest goes first.
    fn even(&mut self, value: u64, count: u32) -> u64;

    /// What comes now.
    fn part(&mut self, _: Part) {}

    /// An error if a reader has gone past the end, so that nobody goes on for long after it.
    ///
    /// # Errors
    /// If bits have been read that are not there.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
