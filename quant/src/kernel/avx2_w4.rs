//! AVX2, weights of at most 4 bits: pair sums are added up in 16 bits, eight at a time, before they are widened.
//!
//! ```text
//! (W4)  8 * | x0 w0 + x1 w1 |  <=  8 * 2 * 255 * 8  =  32640  <  2^15          if |w| <= 8
//! ```
//!
//! So seven of eight `vpmaddwd` of `avx2_w7.rs` fall away: per group and half a line there are one `vpmaddubsw` and one
//! `vpaddw`, and after eight groups the 16-bit sums are widened and added to the tile in memory.
//!
//! Registers: 6 rows x 2 halves = 12 sums of 16 bits, 2 for the line, the row, the product: 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx2Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile, Rows};
use super::{Epilogue, Id, K_GROUP, Layer, MicroKernel, NR, Scratch, Tile};

const MR: usize = 6;
/// Groups whose pair sums fit 16 bits together.
const GROUPS: usize = 8;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx2_w4",
    isa: "avx2",
    tile: [MR, NR],
    max_weight: 8,
    layout: Layout::Quads,
    available: || is_x86_feature_detected!("avx2"),
    id: Id::avx2_w4,
};

/// # Safety
/// The CPU has AVX2; the layer was checked.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    // SAFETY: the caller's promise is this function's.
    unsafe { sweep::sweep::<Maddubs16, E>(layer, scratch, epilogue) }
}

struct Maddubs16;

impl Micro for Maddubs16 {
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Maddubs16 {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows, tiles: &mut [Tile; 2]) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut w: *const __m256i = field.w.cast();
            let mut first = true;
            for segment in 0..field.segments {
                let mut x: [*const u8; MR] = x.at(segment * field.stride);
                let mut left = field.groups;
                while left > 0 {
                    let groups = left.min(GROUPS);
                    let mut acc = [[_mm256_setzero_si256(); 2]; MR];
                    for group in 0..groups {
                        let line = [_mm256_load_si256(w), _mm256_load_si256(w.add(1))];
                        for m in 0..MR {
                            let x = _mm256_set1_epi32(x[m].add(group * K_GROUP).cast::<i32>().read_unaligned());
                            for half in 0..2 {
                                acc[m][half] = _mm256_add_epi16(acc[m][half], _mm256_maddubs_epi16(x, line[half]));
                            }
                        }
                        w = w.add(2);
                    }
                    for m in 0..MR {
                        x[m] = x[m].add(groups * K_GROUP);
                        for half in 0..2 {
                            let to: *mut __m256i = tiles[0][m].as_mut_ptr().add(8 * half).cast();
                            let sums = _mm256_madd_epi16(acc[m][half], _mm256_set1_epi16(1));
                            let before = if first { _mm256_setzero_si256() } else { _mm256_loadu_si256(to) };
                            _mm256_storeu_si256(to, _mm256_add_epi32(sums, before));
                        }
                    }
                    (first, left) = (false, left - groups);
                }
            }
        }
    }
}
