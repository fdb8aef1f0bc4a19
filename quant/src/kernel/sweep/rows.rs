//! The left operand of a register tile: codes at `MR` positions, wherever they lie.

use super::super::MAX_MR;

/// Where the codes of a register tile's positions begin, in bytes from the beginning of their plane.
pub(in super::super) struct Starts {
    /// Of the first position.
    pub(super) first: usize,
    /// From each position to the next, if all are neighbours in one row of the image.
    pub(super) step: Option<usize>,
    /// Of each position, if they are not.
    pub(super) each: [usize; MAX_MR],
}

/// The left operand of a register tile: the codes of one plane at `MR` positions.
pub(in super::super) struct Rows<'a> {
    /// The plane.
    pub codes: *const u8,
    /// Where in it.
    pub starts: &'a Starts,
}

impl Rows<'_> {
    /// The first position's codes, if all positions are neighbours.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))] // for `avx512vnni.rs`
    #[inline(always)]
    pub fn neighbours(&self) -> Option<*const u8> {
        self.starts.step.map(|_| self.codes.wrapping_add(self.starts.first))
    }

    /// `offset` bytes behind the beginning of each position.
    #[inline(always)]
    pub fn at<const MR: usize>(&self, offset: usize) -> [*const u8; MR] {
        let mut x = [self.codes.wrapping_add(offset); MR];
        for m in 0..MR {
            x[m] = x[m].wrapping_add(match self.starts.step {
                // Computed, not kept: an array written as a vector and read one by one would wait for the store buffer.
                Some(step) => self.starts.first + m * step,
                None => self.starts.each[m],
            });
        }
        x
    }
}
