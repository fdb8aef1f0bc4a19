//! The epilogue of a matrix product: the sums as they are.

use super::lanes::Lanes;
use super::{At, Epilogue, NR, Tile};

/// Writes the sums of the first plane to `y [positions][channels]`.
pub struct StoreSums<'a> {
    /// Where to.
    pub y: &'a mut [i32],
    /// Numbers in a row of `y`.
    pub channels: usize,
}

impl Epilogue for StoreSums<'_> {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At) {
        let width = NR.min(self.channels - at.channel);
        for (m, sums) in tiles[0][..at.rows].iter().enumerate() {
            let y = &mut self.y[(at.position + m) * self.channels + at.channel..][..width];
            match <&mut [i32; NR]>::try_from(&mut *y) {
                Ok(y) => *y = *sums, // a length that is known: whole registers
                Err(_) => y.copy_from_slice(&sums[..width]),
            }
        }
    }
}
