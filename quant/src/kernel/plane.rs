//! Bytes that begin at a cache line.
//!
//! Kernels read 64 bytes at a time; where channels come in 64, a line-aligned image makes each such read one line instead of
//! two. It matters most for AMX: a tile load takes 11 cycles if no row crosses a line, and 58 if all do.

use std::ops::{Deref, DerefMut};

/// Bytes of a cache line.
const LINE: usize = 64;

/// One byte of every code of an image.
#[derive(Debug, Default)]
pub struct Plane {
    bytes: Vec<u8>,
    /// Of the first byte: `bytes` is longer by what it takes to reach a line.
    start: usize,
    len: usize,
}

impl Plane {
    /// `len` bytes `fill`.
    pub fn new(len: usize, fill: u8) -> Self {
        let bytes = vec![fill; len + LINE - 1];
        let start = bytes.as_ptr().align_offset(LINE).min(LINE - 1);
        Self { bytes, start, len }
    }
}

impl Deref for Plane {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..][..self.len]
    }
}

impl DerefMut for Plane {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..][..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begins_at_a_line() {
        for len in [0, 1, 63, 64, 4096, 1 << 20] {
            let mut plane = Plane::new(len, 7);
            assert_eq!((plane.as_ptr() as usize % LINE, plane.len()), (0, len));
            plane.iter_mut().for_each(|byte| *byte += 1);
            assert!(plane.iter().all(|&byte| byte == 8));
        }
    }
}
