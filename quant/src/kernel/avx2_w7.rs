//! AVX2, weights of at most 7 bits: `vpmaddubsw` multiplies u8 by s8 and adds pairs, without saturating.
//!
//! ```text
//! (W7)  | x0 w0 + x1 w1 |  <=  2 * 255 * 64  =  32640  <  2^15              if |w| <= 64
//! ```
//!
//! so the 16-bit pair sums are exact, and `vpmaddwd` with ones adds two of them into 32 bits. Twice the
//! products of `avx2.rs` in each instruction. At 8 bits the same instructions are wrong: the test below
//! runs this tile on (255, -128) twice to show that it is, and that the suite would notice.
//!
//! ```text
//! acc[m][half] += vpmaddwd( vpmaddubsw( x of row m, 4 bytes in every lane ; half a line ) ; 1 )
//! ```
//!
//! Registers: 4 rows x 2 halves = 8 accumulators, 2 for the line, ones, the row, the product: 13 of 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::ymm::{MultiplyAdd, Ymm};

micro_kernel! {
    name: avx2_w7,
    isa: "avx2",
    available: is_x86_feature_detected!("avx2"),
    features: "avx2",
    max_weight: 64,
    tiles: Ymm<Maddubs, 4>,
}

/// `vpmaddubsw`, then `vpmaddwd` with ones: four codes a lane.
pub(super) struct Maddubs;

impl MultiplyAdd for Maddubs {
    #[inline(always)]
    unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instructions.
        unsafe {
            // book: multiply_add
            let pairs = _mm256_maddubs_epi16(x, w);
            _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
            // book end
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::pack::{Layout, Panels};
    use crate::kernel::tests::Collect;
    use crate::kernel::{Layer, Scratch};

    /// The deliberate breakage: this tile on weights of 8 bits, past the check that forbids it. The suite of
    /// `kernel/tests.rs` compares with `sweep_ref` as this test does, so a table that let it through would fail.
    #[test]
    fn eight_bits_would_saturate() {
        if !KERNEL.available() {
            return eprintln!("SKIPPED: this CPU does not have avx2");
        }
        for (weight, right) in [(-64i8, true), (63, true), (64, true), (65, false), (-128, false)] {
            let panels = Panels::new(Layout::Quads, 1, 1, 4, |_, _, k| if k < 2 { weight } else { 0 });
            let planes: [&[u8]; 1] = [&[255, 255, 0, 0]];
            let layer = Layer::product(&planes, 1, 1, &panels);
            let mut sums = Collect::new(&layer);
            // SAFETY: the CPU has AVX2; the layer is one position of one group.
            unsafe { sweep(&layer, &mut Scratch::default(), &mut sums) };
            let want = 2 * 255 * i64::from(weight);
            let got = i64::from(sums.sums[0]);
            assert_eq!(got == want, right, "(255, {weight}) x 2 = {want}, vpmaddubsw gives {got}");
            if weight == -128 {
                assert_eq!((want, got), (-65280, -32768));
            }
        }
    }
}
