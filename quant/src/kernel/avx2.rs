//! AVX2, all weights: both sides in 16 bits, multiply-add pairs into 32 bits.
//!
//! `vpmaddubsw`, which takes u8 x s8 directly, saturates its 16-bit pair sums: (255, -128) twice is
//! -65280 and comes out as -32768. So both operands are widened, and `vpmaddwd` multiplies them: its pair
//! sums are 32 bits wide and exact for every u8 and s8. Weights are widened when they are packed, the
//! activations once per image, before the first tile: inside the tile ([`Ymm`]) there is nothing but
//!
//! ```text
//! acc[m][half] += vpmaddwd( x of row m, 2 x u16 in every lane ; half a line: 8 channels x 2 x i16 )
//! ```
//!
//! Registers: 6 rows x 2 halves = 12 accumulators, 2 for the line, 1 for the row, 1 for the product: 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::pack::Layout;
use super::ymm::{MultiplyAdd, Ymm};

micro_kernel! {
    name: avx2,
    isa: "avx2",
    available: is_x86_feature_detected!("avx2"),
    features: "avx2",
    max_weight: 128,
    tiles: Ymm<Madd, 6>,
}

/// `vpmaddwd`: two codes of 16 bits a lane.
pub(super) struct Madd;

impl MultiplyAdd for Madd {
    const LAYOUT: Layout = Layout::Pairs;

    #[inline(always)]
    unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe { _mm256_add_epi32(acc, _mm256_madd_epi16(x, w)) }
    }
}
