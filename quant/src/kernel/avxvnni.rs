//! AVX-VNNI: `vpdpbusd` on 256-bit registers, for CPUs that have it without AVX-512.
//!
//! As in `avx512vnni.rs`, with a line in two registers of 8 channels each. Registers: 6 rows x 2 = 12
//! accumulators, 2 for the line, 1 for the row: 15 of 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx2Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile, Rows};
use super::{Epilogue, Id, K_GROUP, Layer, MicroKernel, NR, Scratch, Tile};

const MR: usize = 6;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avxvnni",
    isa: "avxvnni",
    tile: [MR, NR],
    max_weight: 128,
    layout: Layout::Quads,
    available: || is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
    id: Id::avxvnni,
};

/// # Safety
/// The CPU has AVX2 and AVX-VNNI; the layer was checked.
#[target_feature(enable = "avx2,avxvnni")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    // SAFETY: the caller's promise is this function's.
    unsafe { sweep::sweep::<Ymm<Vex>, E>(layer, scratch, epilogue) }
}

/// `acc + u8 x s8` in groups of four. The one instruction of this file, exchangeable so that its tile can be
/// tested on CPUs that have the instruction in its other encoding only.
trait DotProduct {
    /// # Safety
    /// The CPU has the instruction.
    unsafe fn dot(acc: __m256i, x: __m256i, w: __m256i) -> __m256i;
}

/// The encoding of AVX-VNNI.
struct Vex;

impl DotProduct for Vex {
    #[inline(always)]
    unsafe fn dot(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instruction.
        unsafe { _mm256_dpbusd_avx_epi32(acc, x, w) }
    }
}

/// Six rows by one panel of two registers.
struct Ymm<D>(std::marker::PhantomData<D>);

impl<D: DotProduct> Micro for Ymm<D> {
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl<D: DotProduct> RegisterTile for Ymm<D> {
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
                for group in 0..field.groups {
                    let line = [_mm256_load_si256(w), _mm256_load_si256(w.add(1))];
                    for m in 0..MR {
                        let x = _mm256_set1_epi32(x[m].add(group * K_GROUP).cast::<i32>().read_unaligned());
                        for half in 0..2 {
                            acc[m][half] = D::dot(acc[m][half], x, line[half]);
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
    use crate::kernel::tests::suite;

    /// The encoding of AVX-512 VL.
    struct Evex;

    impl DotProduct for Evex {
        #[inline(always)]
        unsafe fn dot(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
            // SAFETY: the caller vouches for the instruction.
            unsafe { _mm256_dpbusd_epi32(acc, x, w) }
        }
    }

    #[target_feature(enable = "avx2,avx512vl,avx512vnni")]
    unsafe fn sweep_evex<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
        // SAFETY: the caller's promise is this function's.
        unsafe { sweep::sweep::<Ymm<Evex>, E>(layer, scratch, epilogue) }
    }

    #[test]
    fn the_tile_is_exact_in_the_other_encoding() {
        if !is_x86_feature_detected!("avx512vl") || !is_x86_feature_detected!("avx512vnni") {
            return eprintln!("SKIPPED: this CPU has no 256-bit vpdpbusd of AVX-512");
        }
        suite(&KERNEL, &|layer, scratch, sums| {
            layer.check(&KERNEL);
            // SAFETY: the CPU has the instructions, and the layer was checked.
            unsafe { sweep_evex(layer, scratch, sums) }
        })
        .unwrap();
    }
}
