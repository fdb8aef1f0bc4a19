//! AVX2: widen both sides to 16 bits, multiply-add pairs into 32 bits.
//!
//! `vpmaddubsw`, which takes u8 x s8 directly, saturates its 16-bit pair sums: (255, -128) twice is
//! -65280 and comes out as -32768. So both operands are widened first and `vpmaddwd` multiplies them:
//! its pair sums are 32 bits wide and exact for every u8 and s8.
//!
//! ```text
//! a line     4 channels x 4 k  ->  16 x i16 in one ymm, four of those per line
//! x          4 bytes           ->   4 x i16, repeated four times
//! vpmaddwd   -> per channel two sums (k0 k1, k2 k3), added up in acc[m][quarter]
//! at the end the two sums of each channel are added (vphaddd, vpermq)
//! ```
//!
//! Registers: 2 rows x 4 quarters = 8 accumulators, 4 for the weights, 2 for the rows: 14 of 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{K_GROUP, MicroKernel, NR, Operands, Tile};

const MR: usize = 2;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx2",
    mr: MR,
    nr: NR,
    k_group: K_GROUP,
    available: || is_x86_feature_detected!("avx2"),
    run,
};

/// # Safety
/// As `TileFn`: AVX2 is there, `rows` has `MR` entries, every run lies within `a`, and the panel has
/// `segments * groups` lines.
#[target_feature(enable = "avx2")]
unsafe fn run(operands: &Operands<'_>, tile: &mut Tile) {
    let Operands { a, rows, segments, segment_stride, groups, panel } = *operands;
    let mut acc = [[_mm256_setzero_si256(); 4]; MR];
    for segment in 0..segments {
        let starts: [usize; MR] = std::array::from_fn(|m| rows[m] + segment * segment_stride);
        for (group, line) in panel[segment * groups..][..groups].iter().enumerate() {
            let line: *const __m128i = (&raw const line.0).cast();
            let w: [__m256i; 4] = std::array::from_fn(|quarter| {
                // SAFETY: a line is 64 aligned bytes, four times 16.
                _mm256_cvtepi8_epi16(unsafe { _mm_load_si128(line.add(quarter)) })
            });
            for m in 0..MR {
                // SAFETY: the run of row `m` has `groups * 4` bytes within `a`.
                let x = unsafe { a.as_ptr().add(starts[m] + group * K_GROUP).cast::<i32>().read_unaligned() };
                let x = _mm256_broadcastq_epi64(_mm_cvtepu8_epi16(_mm_cvtsi32_si128(x)));
                for quarter in 0..4 {
                    acc[m][quarter] = _mm256_add_epi32(acc[m][quarter], _mm256_madd_epi16(x, w[quarter]));
                }
            }
        }
    }
    for m in 0..MR {
        for half in 0..2 {
            // Within each 128-bit lane: channels (0 1 | 4 5) then (2 3 | 6 7), put in order by 64-bit halves.
            let sums = _mm256_hadd_epi32(acc[m][2 * half], acc[m][2 * half + 1]);
            let sums = _mm256_permute4x64_epi64::<0b11_01_10_00>(sums);
            // SAFETY: a row of the tile holds 16 numbers, two halves of 8.
            unsafe { _mm256_storeu_si256(tile[m].as_mut_ptr().add(8 * half).cast(), sums) };
        }
    }
}
