//! The integer types an activation's codes may have, as the unsigned bytes the kernels multiply.

use crate::Code;

/// A code of an activation: `code = unsigned - OFFSET`, and the unsigned number is `BYTES` bytes, the low
/// one first.
pub trait Activation: Code {
    /// What is added to make the code unsigned: 0, or `2^(b-1)` for signed types.
    const OFFSET: i32;
    /// 1 for 8 bits, 2 for 16.
    const BYTES: usize;

    /// Byte `part` (0 low, 1 high) of `code + OFFSET`.
    #[inline(always)]
    fn byte(self, part: usize) -> u8 {
        ((self.to_i32() + Self::OFFSET) >> (8 * part)) as u8
    }

    /// The codes, if they are the bytes already.
    fn as_bytes(_codes: &[Self]) -> Option<&[u8]> {
        None
    }
}

impl Activation for u8 {
    const OFFSET: i32 = 0;
    const BYTES: usize = 1;

    fn as_bytes(codes: &[Self]) -> Option<&[u8]> {
        Some(codes)
    }
}

impl Activation for i8 {
    const OFFSET: i32 = 1 << 7;
    const BYTES: usize = 1;
}

impl Activation for u16 {
    const OFFSET: i32 = 0;
    const BYTES: usize = 2;
}

impl Activation for i16 {
    const OFFSET: i32 = 1 << 15;
    const BYTES: usize = 2;
}
