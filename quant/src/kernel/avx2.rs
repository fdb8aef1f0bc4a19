//! AVX2, all weights: both sides in 16 bits, multiply-add pairs into 32 bits.
//!
//! `vpmaddubsw`, which takes u8 x s8 directly, saturates its 16-bit pair sums: (255, -128) twice is
//! -65280 and comes out as -32768. So both operands are widened, and `vpmaddwd` multiplies them: its pair
//! sums are 32 bits wide and exact for every u8 and s8. Weights are widened when they are packed, the
//! activations once per image, before the first tile: inside the tile there is nothing but
//!
//! ```text
//! acc[m][half] += vpmaddwd( x of row m, 2 x u16 in every lane ; half a line: 8 channels x 2 x i16 )
//! ```
//!
//! Registers: 6 rows x 2 halves = 12 accumulators, 2 for the line, 1 for the row, 1 for the product: 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx2Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile, Rows};
use super::{Epilogue, Id, K_GROUP, Layer, MicroKernel, NR, Scratch, Tile};

const MR: usize = 6;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx2",
    isa: "avx2",
    tile: [MR, NR],
    max_weight: 128,
    layout: Layout::Pairs,
    available: || is_x86_feature_detected!("avx2"),
    id: Id::avx2,
};

/// # Safety
/// The CPU has AVX2; the layer was checked.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    // SAFETY: the caller's promise is this function's.
    unsafe { sweep::sweep::<Avx2, E>(layer, scratch, epilogue) }
}

struct Avx2;

impl Micro for Avx2 {
    const CODE_BYTES: usize = 2;
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Avx2 {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut acc = [[_mm256_setzero_si256(); 2]; MR];
            let mut w: *const __m256i = field.w.cast();
            for segment in 0..field.segments {
                let x: [*const u8; MR] = x.at(segment * field.stride);
                for pair in 0..field.groups * K_GROUP / 2 {
                    let line = [_mm256_load_si256(w), _mm256_load_si256(w.add(1))];
                    for m in 0..MR {
                        let x = _mm256_set1_epi32(x[m].add(pair * 4).cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            acc[m][half] = _mm256_add_epi32(acc[m][half], _mm256_madd_epi16(x, line[half]));
                        }
                    }
                    w = w.add(2);
                }
            }
            for m in 0..MR {
                for half in 0..2 {
                    _mm256_storeu_si256(tiles[0][row + m].as_mut_ptr().add(8 * half).cast(), acc[m][half]);
                }
            }
        }
    }
}
