//! AVX-512: 16 floats, 32 registers.

use std::arch::x86_64::*;

use crate::kernel::{Kernel, Vector};

/// Its vector.
pub(super) type Floats = F32x16;

/// See `Set`.
pub(super) const EXTENDED_BY: &[&str] = &["amx", "avx512vnni"];

/// Whether this machine has it.
pub(super) fn available() -> bool {
    is_x86_feature_detected!("avx512f")
}

/// 16 floats in a register.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

/// Enters `kernel` with these instructions enabled.
///
/// # Safety
/// The machine must have them.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise is this function's.
    unsafe { kernel.run::<F32x16>() }
}

// SAFETY of every block below: the caller vouches for the instructions, and for the memory behind `p`.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for F32x16 {
    const LANES: usize = 16;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { _mm512_set1_ps(x) })
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Self(unsafe { _mm512_loadu_ps(p) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm512_storeu_ps(p, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(unsafe { _mm512_max_ps(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
    }
}
