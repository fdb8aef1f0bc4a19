//! Numbers, floats and text as bits.

use engine::{Error, Result};

use super::{BitModel, Coder};

/// Symbols `0..2^bits`, the highest bit first; each bit has a model for every beginning it can follow.
#[derive(Clone, Debug)]
pub struct Tree {
    bits: u32,
    models: Vec<BitModel>,
}

impl Tree {
    /// For symbols of up to `bits` bits.
    pub fn new(bits: u32) -> Self {
        Self { bits, models: vec![BitModel::default(); 1 << bits] }
    }

    /// Passes one symbol.
    ///
    /// # Panics
    /// If it has more bits.
    pub fn code(&mut self, c: &mut impl Coder, symbol: u32) -> u32 {
        assert!(symbol >> self.bits == 0, "{symbol} has more than {} bits", self.bits);
        let mut node = 1; // the bits so far, behind a one
        for i in (0..self.bits).rev() {
            let bit = c.bit(symbol >> i & 1 == 1, &mut self.models[node]);
            node = 2 * node + usize::from(bit);
        }
        (node - (1 << self.bits)) as u32
    }
}

/// Numbers without a limit known beforehand: their length is learned, the bits behind their leading one are not.
#[derive(Clone, Debug)]
pub struct Number {
    length: Tree,
}

impl Default for Number {
    fn default() -> Self {
        Self { length: Tree::new(7) }
    }
}

impl Number {
    /// Passes a number.
    pub fn code(&mut self, c: &mut impl Coder, x: u64) -> u64 {
        self.code_leading(c, x, 64)
    }

    /// Passes a number whose bits are zero from the `kept`-th behind the leading one on.
    fn code_leading(&mut self, c: &mut impl Coder, x: u64, kept: u32) -> u64 {
        let length = self.length.code(c, 64 - x.leading_zeros()).min(64);
        if length == 0 {
            return 0;
        }
        let kept = kept.min(length - 1);
        let zeros = length - 1 - kept;
        let behind = c.even(x >> zeros & ((1 << kept) - 1), kept);
        (1 << kept | behind) << zeros
    }
}

/// Lists of floats: sign and exponent are learned, as many bits of the mantissa follow as any number of the list needs,
/// and a list of equal numbers is one number.
#[derive(Clone, Debug)]
pub struct Floats {
    equal: BitModel,
    kept: Tree,
    sign: BitModel,
    exponent: Tree,
}

impl Default for Floats {
    fn default() -> Self {
        let (kept, exponent) = (Tree::new(5), Tree::new(8));
        Self { equal: BitModel::default(), kept, sign: BitModel::default(), exponent }
    }
}

/// Bits of a mantissa.
const MANTISSA: u32 = 23;

impl Floats {
    /// Passes the numbers of `x`, whose count both sides know.
    pub fn code(&mut self, c: &mut impl Coder, x: &mut [f32]) {
        let (Some(&first), bits) = (x.first(), x.iter().fold(0, |all, v| all | v.to_bits())) else { return };
        let same = x.iter().all(|v| v.to_bits() == first.to_bits());
        let same = c.bit(same, &mut self.equal);
        let kept = MANTISSA - bits.trailing_zeros().min(MANTISSA);
        let kept = self.kept.code(c, kept).min(MANTISSA);
        let passed = if same { 1 } else { x.len() };
        x[..passed].iter_mut().for_each(|v| *v = self.one(c, *v, kept));
        if same {
            x.fill(x[0]);
        }
    }

    fn one(&mut self, c: &mut impl Coder, x: f32, kept: u32) -> f32 {
        let bits = x.to_bits();
        let sign = u32::from(c.bit(bits >> 31 == 1, &mut self.sign));
        let exponent = self.exponent.code(c, bits >> MANTISSA & 0xff);
        let zeros = MANTISSA - kept;
        let mantissa = c.even(u64::from(bits >> zeros & ((1 << kept) - 1)), kept) as u32;
        f32::from_bits(sign << 31 | exponent << MANTISSA | mantissa << zeros)
    }
}

/// Lists of signed integers: sign and length are learned, and as many bits behind the leading one follow as any number of
/// the list needs.
#[derive(Clone, Debug)]
pub struct Integers {
    kept: Tree,
    sign: BitModel,
    number: Number,
}

impl Default for Integers {
    fn default() -> Self {
        Self { kept: Tree::new(6), sign: BitModel::default(), number: Number::default() }
    }
}

impl Integers {
    /// Passes the numbers of `x`, whose count both sides know.
    pub fn code(&mut self, c: &mut impl Coder, x: &mut [i64]) {
        let kept = self.kept.code(c, x.iter().map(|v| behind_leading(v.unsigned_abs())).max().unwrap_or(0));
        for v in x {
            let negative = c.bit(*v < 0, &mut self.sign);
            let size = self.number.code_leading(c, v.unsigned_abs(), kept);
            *v = if negative { 0i64.wrapping_sub_unsigned(size) } else { size as i64 };
        }
    }
}

/// Bits from behind the leading one to the last one.
fn behind_leading(x: u64) -> u32 {
    if x == 0 { 0 } else { 63 - x.leading_zeros() - x.trailing_zeros() }
}

/// Texts in UTF-8.
#[derive(Clone, Debug)]
pub struct Text {
    length: Number,
    byte: Tree,
}

impl Default for Text {
    fn default() -> Self {
        Self { length: Number::default(), byte: Tree::new(8) }
    }
}

impl Text {
    /// Longer texts are taken for damage, bytes.
    pub const LONGEST: usize = 1 << 16;

    /// Passes a text.
    ///
    /// # Errors
    /// If it is longer than [`LONGEST`](Self::LONGEST), or what was read is no text.
    pub fn code(&mut self, c: &mut impl Coder, text: &str) -> Result<String> {
        let length = self.length.code(c, text.len() as u64);
        if length > Self::LONGEST as u64 {
            let detail = format!("a text of {length} bytes, at most {} are kept", Self::LONGEST);
            return Err(Error::value("coded stream", detail));
        }
        let given = text.bytes().chain(std::iter::repeat(0));
        let bytes = given.take(length as usize).map(|b| self.byte.code(c, u32::from(b)) as u8).collect();
        String::from_utf8(bytes).map_err(|_| Error::value("coded stream", "a text is not UTF-8"))
    }
}
