//! [`Lanes`] in four NEON registers; products in eight, in order.

use std::arch::aarch64::*;
use std::array::from_fn;

use super::Lanes;

/// Sixteen `i32` of NEON.
#[derive(Clone, Copy)]
pub struct NeonLanes([int32x4_t; 4]);

// SAFETY (every block below): the trait's contract: every aarch64 CPU has NEON, pointers lead to what is moved.
#[allow(clippy::undocumented_unsafe_blocks)] // stated once, above
impl Lanes for NeonLanes {
    const LANES: usize = 16;
    /// `[low, high]` pairs of each register.
    type Wide = [[int64x2_t; 2]; 4];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self([unsafe { vdupq_n_s32(x) }; 4])
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        Self(from_fn(|q| unsafe { vld1q_s32(p.add(4 * q)) }))
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        unsafe {
            let bytes = vld1q_u8(p);
            let (low, high) = (vmovl_u8(vget_low_u8(bytes)), vmovl_high_u8(bytes));
            let words = [
                vmovl_u16(vget_low_u16(low)),
                vmovl_high_u16(low),
                vmovl_u16(vget_low_u16(high)),
                vmovl_high_u16(high),
            ];
            Self(words.map(|x| vreinterpretq_s32_u32(x)))
        }
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        unsafe {
            let words = self.0.map(|x| vmovn_u32(vreinterpretq_u32_s32(x)));
            let bytes =
                [vcombine_u16(words[0], words[1]), vcombine_u16(words[2], words[3])].map(|x| vmovn_u16(x));
            vst1q_u8(p, vcombine_u8(bytes[0], bytes[1]));
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(from_fn(|q| unsafe { vaddq_s32(self.0[q], other.0[q]) }))
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(from_fn(|q| unsafe { vshlq_s32(self.0[q], k.0[q]) }))
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        // A shift to the left by a negative number.
        Self(from_fn(|q| unsafe { vshlq_s32(self.0[q], vnegq_s32(t.0[q])) }))
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(from_fn(|q| unsafe { vminq_s32(vmaxq_s32(self.0[q], lo.0[q]), hi.0[q]) }))
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> Self::Wide {
        from_fn(|q| unsafe {
            let (a, m) = (self.0[q], m.0[q]);
            [vmull_s32(vget_low_s32(a), vget_low_s32(m)), vmull_high_s32(a, m)]
        })
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> Self::Wide {
        from_fn(|q| from_fn(|i| unsafe { vld1q_s64(p.add(4 * q + 2 * i)) }))
    }
    #[inline(always)]
    unsafe fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        from_fn(|q| from_fn(|i| unsafe { vaddq_s64(a[q][i], b[q][i]) }))
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: Self::Wide) -> Self::Wide {
        a.map(|pair| pair.map(|x| unsafe { vshlq_n_s64::<8>(x) }))
    }
    #[inline(always)]
    unsafe fn upper(a: Self::Wide) -> Self {
        Self(a.map(|[low, high]| unsafe { vcombine_s32(vshrn_n_s64::<32>(low), vshrn_n_s64::<32>(high)) }))
    }
}
