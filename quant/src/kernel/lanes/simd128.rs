//! [`Lanes`] in one register of WebAssembly; products in two, in order.

use std::arch::wasm32::*;

use super::Lanes;

/// Four `i32` of simd128: few, because an engine on x86-64 has 16 registers for the constants too.
#[derive(Clone, Copy)]
pub struct Simd128Lanes(v128);

// SAFETY (every block below): the trait's contract: pointers lead to what is moved; all widths of loads and stores may lie
// anywhere.
#[allow(clippy::undocumented_unsafe_blocks)] // stated once, above
impl Lanes for Simd128Lanes {
    const LANES: usize = 4;
    /// Lanes 0 and 1, lanes 2 and 3.
    type Wide = [v128; 2];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self(i32x4_splat(x))
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        Self(unsafe { v128_load(p.cast()) })
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        let bytes = unsafe { v128_load32_zero(p.cast()) };
        Self(u32x4_extend_low_u16x8(u16x8_extend_low_u8x16(bytes)))
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        // The lowest byte of every lane, four times.
        let bytes = i8x16_shuffle::<0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12, 0, 4, 8, 12>(self.0, self.0);
        unsafe { v128_store32_lane::<0>(bytes, p.cast()) }
    }
    #[inline(always)]
    unsafe fn store_four_u8(v: [Self; 4], lo: i32, hi: i32, p: *mut u8, step: usize) {
        // Saturating to 16 and to 8 bits clips to 0..=255: of each position four codes, one lane of 32 bits.
        let (ab, cd) = (i16x8_narrow_i32x4(v[0].0, v[1].0), i16x8_narrow_i32x4(v[2].0, v[3].0));
        let codes = u8x16_narrow_i16x8(ab, cd);
        let codes = u8x16_min(u8x16_max(codes, u8x16_splat(lo as u8)), u8x16_splat(hi as u8));
        unsafe {
            v128_store32_lane::<0>(codes, p.cast());
            v128_store32_lane::<1>(codes, p.add(step).cast());
            v128_store32_lane::<2>(codes, p.add(2 * step).cast());
            v128_store32_lane::<3>(codes, p.add(3 * step).cast());
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(i32x4_add(self.0, other.0))
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(i32x4_shl(self.0, u32x4_extract_lane::<0>(k.0)))
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        Self(i32x4_shr(self.0, u32x4_extract_lane::<0>(t.0)))
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(i32x4_min(i32x4_max(self.0, lo.0), hi.0))
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> Self::Wide {
        [i64x2_extmul_low_i32x4(self.0, m.0), i64x2_extmul_high_i32x4(self.0, m.0)]
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> Self::Wide {
        unsafe { [v128_load(p.cast()), v128_load(p.add(2).cast())] }
    }
    #[inline(always)]
    unsafe fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        [i64x2_add(a[0], b[0]), i64x2_add(a[1], b[1])]
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: Self::Wide) -> Self::Wide {
        a.map(|x| i64x2_shl(x, 8))
    }
    #[inline(always)]
    unsafe fn upper(a: Self::Wide) -> Self {
        Self(i32x4_shuffle::<1, 3, 5, 7>(a[0], a[1]))
    }
}
