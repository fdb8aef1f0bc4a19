//! AVX2, weights of at most 4 bits: pair sums are added up in 16 bits, eight or more, before they are widened.
//!
//! ```text
//! (W4)  n * | x0 w0 + x1 w1 |  <=  n * 2 * 255 * max |w|  <  2^15          n = 8 if |w| <= 8, 32 if |w| <= 2
//! ```
//!
//! So most `vpmaddwd` of `avx2_w7.rs` fall away: per group and half a line there are one `vpmaddubsw` and one
//! `vpaddw`, and after `n` groups the 16-bit sums are widened and added to the tile in memory.
//!
//! Registers: 6 rows x 2 halves = 12 sums of 16 bits, 2 for the line, the row, the product: 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx2Lanes;
use super::micro::{Field, Micro, RegisterTile};
use super::sweep::Rows;
use super::ymm::{Acc, MultiplyAdd, multiply_lines};
use super::{K_GROUP, NR, Tile};

micro_kernel! {
    name: avx2_w4,
    isa: "avx2",
    available: is_x86_feature_detected!("avx2"),
    features: "avx2",
    max_weight: 8,
    tiles: Maddubs16,
}

const MR: usize = 6;
/// `n` times `max |w|`: how far 16 bits go.
const ROOM: usize = i16::MAX as usize / (2 * u8::MAX as usize);

/// `vpmaddubsw`, then `vpaddw`: sums of 16 bits, two in each lane, four codes a lane.
pub(super) struct Maddubs16;

impl MultiplyAdd for Maddubs16 {
    #[inline(always)]
    unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_add_epi16(acc, _mm256_maddubs_epi16(x, w)) }
    }
}

impl Micro for Maddubs16 {
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Maddubs16 {
    const MR: usize = MR;
    const PANELS: usize = 1;

    /// The tile of `ymm.rs`, save that its sums move to memory as often as 16 bits ask for it.
    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut w: *const __m256i = field.w.cast();
            let mut acc: Acc<MR> = [[_mm256_setzero_si256(); 2]; MR];
            let most = ROOM / (field.max_weight as usize).max(1);
            let (mut room, mut first) = (most, true);
            let tile = tiles[0][row..row + MR].as_mut_ptr().cast();
            for segment in 0..field.segments {
                let mut x: [*const u8; MR] = x.at(segment * field.stride);
                let mut left = field.groups;
                while left > 0 {
                    let groups = left.min(room);
                    multiply_lines::<Self, MR>(&mut acc, x, &mut w, groups);
                    x = x.map(|x| x.add(groups * K_GROUP));
                    (left, room) = (left - groups, room - groups);
                    if room == 0 {
                        widen(&mut acc, tile, first);
                        (room, first) = (most, false);
                    }
                }
            }
            if room < most {
                widen(&mut acc, tile, first);
            }
        }
    }
}

/// Adds the sums of 16 bits, in pairs, to the tile's, or puts them there if they are the first; and clears them.
///
/// # Safety
/// The CPU has AVX2; `tile` leads to `MR` rows of sixteen sums.
#[inline(always)]
unsafe fn widen(acc: &mut Acc<MR>, tile: *mut i32, first: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        for m in 0..MR {
            for half in 0..2 {
                let to: *mut __m256i = tile.add(NR * m + 8 * half).cast();
                let sums = _mm256_madd_epi16(acc[m][half], _mm256_set1_epi16(1));
                let before = if first { _mm256_setzero_si256() } else { _mm256_loadu_si256(to) };
                _mm256_storeu_si256(to, _mm256_add_epi32(sums, before));
                acc[m][half] = _mm256_setzero_si256();
            }
        }
    }
}
