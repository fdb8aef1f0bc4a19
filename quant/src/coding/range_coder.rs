//! The range coder: bits of known probability as bytes.
//!
//! All messages that begin alike share an interval of numbers. It begins as everything, and each bit takes its share:
//!
//! ```text
//! r_1  =  floor( r P(1) )          1: [low, low + r_1)          0: [low + r_1, low + r)          (6i)
//! ```
//!
//! The bytes written are a number in the last interval, which needs `-log2 r` digits: (6j). `r` has 32 bits and is kept
//! above `2^24`: whenever it falls below, the highest byte of `low` is settled, up to a carry, and goes out.

use std::collections::BTreeMap;

use engine::{Error, Result};

use super::{BitModel, Coder, Part};

/// The interval is widened by a byte below this.
const NARROW: u32 = 1 << 24;
/// Of a bit that nobody knows anything about.
const EVEN: u32 = 1 << 15;

/// `r_1` of (6i).
fn split(range: u32, share: u32) -> u32 {
    ((u64::from(range) * u64::from(share)) >> 16) as u32
}

/// Writes.
#[derive(Clone, Debug)]
pub struct Encoder {
    low: u32,
    range: u32,
    bytes: Vec<u8>,
    part: Part,
    /// Bits spent on each part, and where the present one began.
    spent: BTreeMap<Part, f64>,
    since: f64,
}

impl Default for Encoder {
    fn default() -> Self {
        let (part, spent) = (Part::Header, BTreeMap::new());
        Self { low: 0, range: u32::MAX, bytes: Vec::new(), part, spent, since: 0.0 }
    }
}

impl Encoder {
    // book: encode
    fn encode(&mut self, bit: bool, share: u32) {
        let ones = split(self.range, share);
        if bit {
            self.range = ones;
        } else {
            self.move_up(ones);
            self.range -= ones;
        }
        while self.range < NARROW {
            self.bytes.push((self.low >> 24) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    /// Adds to `low`; what does not fit is a carry into the bytes that are out already.
    fn move_up(&mut self, by: u32) {
        let (low, carry) = self.low.overflowing_add(by);
        self.low = low;
        if carry {
            for byte in self.bytes.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }
    // book end

    /// Bits so far, with fractions.
    fn position(&self) -> f64 {
        8.0 * self.bytes.len() as f64 + 32.0 - f64::from(self.range).log2()
    }

    /// The bytes, and the bits spent on each part.
    ///
    /// One more byte says where in the last interval: there is a number in it with zeros behind, and what a reader finds
    /// behind the end are zeros.
    pub fn finish(mut self) -> (Vec<u8>, BTreeMap<Part, f64>) {
        self.part(Part::Header);
        let rest = self.low % NARROW;
        if rest > 0 {
            self.move_up(NARROW - rest);
        }
        self.bytes.push((self.low >> 24) as u8);
        (self.bytes, self.spent)
    }
}

impl Coder for Encoder {
    fn bit(&mut self, bit: bool, model: &mut BitModel) -> bool {
        self.encode(bit, model.share());
        model.learn(bit);
        bit
    }

    fn even(&mut self, value: u64, count: u32) -> u64 {
        (0..count).rev().for_each(|i| self.encode(value >> i & 1 == 1, EVEN));
        value
    }

    fn part(&mut self, part: Part) {
        let now = self.position();
        *self.spent.entry(self.part).or_default() += now - self.since;
        (self.part, self.since) = (part, now);
    }
}

/// Reads what an [`Encoder`] wrote.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The number written, less `low`.
    offset: u32,
    range: u32,
}

/// Zeros that belong to every message: the end is written as its highest byte alone.
const BEHIND: usize = 3;

impl<'a> Decoder<'a> {
    /// At the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, at: 0, offset: 0, range: u32::MAX };
        (0..4).for_each(|_| decoder.take());
        decoder
    }

    fn take(&mut self) {
        let byte = self.bytes.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        self.offset = self.offset << 8 | u32::from(byte);
    }

    fn decode(&mut self, share: u32) -> bool {
        let ones = split(self.range, share);
        let bit = self.offset < ones;
        if bit {
            self.range = ones;
        } else {
            self.offset -= ones;
            self.range -= ones;
        }
        while self.range < NARROW {
            self.take();
            self.range <<= 8;
        }
        bit
    }

    /// After the last symbol. It counts bytes: a stream that lost one or two may still end where it should, with other symbols, so
    /// that whoever keeps one adds a checksum, as coded model files do.
    ///
    /// # Errors
    /// If more was read than there is, or bytes are left.
    pub fn finish(self) -> Result<()> {
        self.check()?;
        let end = self.bytes.len() + BEHIND;
        if self.at == end {
            return Ok(());
        }
        Err(Error::value("coded stream", format!("{} bytes are left behind its end", end - self.at)))
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, _: bool, model: &mut BitModel) -> bool {
        let bit = self.decode(model.share());
        model.learn(bit);
        bit
    }

    fn even(&mut self, _: u64, count: u32) -> u64 {
        (0..count).fold(0, |value, _| value << 1 | u64::from(self.decode(EVEN)))
    }

    fn check(&self) -> Result<()> {
        if self.at <= self.bytes.len() + BEHIND {
            return Ok(());
        }
        Err(Error::value("coded stream", "it ends before its last symbol"))
    }
}
