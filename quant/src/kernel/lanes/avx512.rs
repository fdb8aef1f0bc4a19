//! [`Lanes`] in one AVX-512 register; products in two, of the even and of the odd lanes.

use std::arch::x86_64::*;

use super::Lanes;

/// Sixteen `i32` of AVX-512 F.
#[derive(Clone, Copy)]
pub struct Avx512Lanes(__m512i);

// SAFETY (every block below): the trait's contract: the CPU has AVX-512 F, pointers lead to what is moved.
#[allow(clippy::undocumented_unsafe_blocks)] // stated once, above
impl Lanes for Avx512Lanes {
    const LANES: usize = 16;
    type Wide = [__m512i; 2];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self(unsafe { _mm512_set1_epi32(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        Self(unsafe { _mm512_loadu_si512(p.cast()) })
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        Self(unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())) })
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        unsafe { _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(self.0)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(unsafe { _mm512_sllv_epi32(self.0, k.0) })
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        Self(unsafe { _mm512_srav_epi32(self.0, t.0) })
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(unsafe { _mm512_min_epi32(_mm512_max_epi32(self.0, lo.0), hi.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> [__m512i; 2] {
        unsafe {
            let odd = |x| _mm512_srli_epi64::<32>(x);
            [_mm512_mul_epi32(self.0, m.0), _mm512_mul_epi32(odd(self.0), odd(m.0))]
        }
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> [__m512i; 2] {
        unsafe {
            let (a, b) = (_mm512_loadu_si512(p.cast()), _mm512_loadu_si512(p.add(8).cast()));
            let even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
            let odd = _mm512_setr_epi64(1, 3, 5, 7, 9, 11, 13, 15);
            [_mm512_permutex2var_epi64(a, even, b), _mm512_permutex2var_epi64(a, odd, b)]
        }
    }
    #[inline(always)]
    unsafe fn add_wide(a: [__m512i; 2], b: [__m512i; 2]) -> [__m512i; 2] {
        unsafe { [_mm512_add_epi64(a[0], b[0]), _mm512_add_epi64(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: [__m512i; 2]) -> [__m512i; 2] {
        unsafe { a.map(|x| _mm512_slli_epi64::<8>(x)) }
    }
    #[inline(always)]
    unsafe fn upper(a: [__m512i; 2]) -> Self {
        // (even >> 32) | (odd & upper halves): a blend by mask would occupy the port that multiplies.
        let halves = unsafe { _mm512_set1_epi64(-1 << 32) };
        Self(unsafe { _mm512_ternarylogic_epi64::<0xF8>(_mm512_srli_epi64::<32>(a[0]), a[1], halves) })
    }
}
