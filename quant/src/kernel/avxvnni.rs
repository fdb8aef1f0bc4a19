//! AVX-VNNI: `vpdpbusd` on 256-bit registers, for CPUs that have it without AVX-512.
//!
//! The instruction multiplies four u8 by four s8 and adds them to an i32, in 8 lanes; it is exact, as in
//! `avx512vnni.rs`.
//!
//! ```text
//! acc[m][half] += vpdpbusd( x of row m, 4 bytes in every lane ; half a line )
//! ```
//!
//! Registers: 6 rows x 2 halves = 12 accumulators, 2 for the line, 1 for the row: 15 of 16.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::ymm::{MultiplyAdd, Ymm};

micro_kernel! {
    name: avxvnni,
    isa: "avxvnni",
    available: is_x86_feature_detected!("avx2") && is_x86_feature_detected!("avxvnni"),
    features: "avx2,avxvnni",
    max_weight: 128,
    tiles: Ymm<Vex, 6>,
}

/// `vpdpbusd` in the encoding of AVX-VNNI.
pub(super) struct Vex;

impl MultiplyAdd for Vex {
    #[inline(always)]
    unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
        // SAFETY: the caller vouches for the instruction.
        unsafe { _mm256_dpbusd_avx_epi32(acc, x, w) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::tests::suite;
    use crate::kernel::{Epilogue, Layer, Scratch};

    /// The encoding of AVX-512 VL: a CPU that lacks the other one can test the tile with it.
    struct Evex;

    impl MultiplyAdd for Evex {
        #[inline(always)]
        unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i {
            // SAFETY: the caller vouches for the instruction.
            unsafe { _mm256_dpbusd_epi32(acc, x, w) }
        }
    }

    #[target_feature(enable = "avx2,avx512vl,avx512vnni")]
    unsafe fn sweep_evex<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
        // SAFETY: the caller's promise is this function's.
        unsafe { crate::kernel::sweep::sweep::<Ymm<Evex, 6>, E>(layer, scratch, epilogue) }
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
