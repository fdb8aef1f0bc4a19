//! NEON: 4 floats, 32 registers.

use std::arch::aarch64::*;

use crate::kernel::{Kernel, Vector};

/// Its vector.
pub(super) type Floats = F32x4;

/// See `Set`.
pub(super) const EXTENDED_BY: &[&str] = &["neondot"];

/// Whether this machine has it.
pub(super) fn available() -> bool {
    true
}

/// 4 floats in a register.
#[derive(Clone, Copy)]
pub(crate) struct F32x4(float32x4_t);

/// Enters `kernel` with these instructions enabled.
///
/// # Safety
/// The machine must have them.
#[target_feature(enable = "neon")]
pub(super) unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the caller's promise is this function's.
    unsafe { kernel.run::<F32x4>() }
}

// SAFETY of every block below: the caller vouches for the instructions, and for the memory behind `p`.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Vector for F32x4 {
    const LANES: usize = 4;
    const REGISTERS: usize = 32;

    #[inline(always)]
    unsafe fn zero() -> Self {
        unsafe { Self::splat(0.0) }
    }

    #[inline(always)]
    unsafe fn splat(x: f32) -> Self {
        Self(unsafe { vdupq_n_f32(x) })
    }

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        Self(unsafe { vld1q_f32(p) })
    }

    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { vst1q_f32(p, self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { vaddq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn max(self, other: Self) -> Self {
        Self(unsafe { vmaxq_f32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn fma(self, a: Self, b: Self) -> Self {
        Self(unsafe { vfmaq_f32(self.0, a.0, b.0) })
    }
}
