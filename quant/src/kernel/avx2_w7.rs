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

use super::lanes::Avx2Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile, Rows};
use super::{Epilogue, Id, K_GROUP, Layer, MicroKernel, NR, Scratch, Tile};

const MR: usize = 4;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx2_w7",
    isa: "avx2",
    tile: [MR, NR],
    max_weight: 64,
    layout: Layout::Quads,
    available: || is_x86_feature_detected!("avx2"),
    id: Id::avx2_w7,
};

/// # Safety
/// The CPU has AVX2; the layer was checked.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    // SAFETY: the caller's promise is this function's.
    unsafe { sweep::sweep::<Maddubs, E>(layer, scratch, epilogue) }
}

struct Maddubs;

impl Micro for Maddubs {
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Maddubs {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let mut acc = [[_mm256_setzero_si256(); 2]; MR];
            let mut w: *const __m256i = field.w.cast();
            for segment in 0..field.segments {
                let x: [*const u8; MR] = x.at(segment * field.stride);
                for group in 0..field.groups {
                    let line = [_mm256_load_si256(w), _mm256_load_si256(w.add(1))];
                    for m in 0..MR {
                        let x = _mm256_set1_epi32(x[m].add(group * K_GROUP).cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            let pairs = _mm256_maddubs_epi16(x, line[half]);
                            acc[m][half] = _mm256_add_epi32(acc[m][half], _mm256_madd_epi16(pairs, ones));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::pack::Panels;
    use crate::kernel::tests::Collect;

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
