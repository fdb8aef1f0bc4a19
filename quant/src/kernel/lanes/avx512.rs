//! [`Lanes`] in one AVX-512 register; products in two, of the even and of the odd lanes.

use std::arch::x86_64::*;

use super::Lanes;

/// Sixteen `i32` of AVX-512 F and BW.
#[derive(Clone, Copy)]
pub struct Avx512Lanes(__m512i);

// SAFETY (every block below): the trait's contract: the CPU has AVX-512 F and BW, pointers lead to what is moved.
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
    unsafe fn store_four_u8(v: [Self; 4], lo: i32, hi: i32, p: *mut u8, step: usize) {
        unsafe {
            // Saturating to 16 and to 8 bits clips to 0..=255: of each position four codes in every quarter.
            let (ab, cd) = (_mm512_packs_epi32(v[0].0, v[1].0), _mm512_packs_epi32(v[2].0, v[3].0));
            let quarters = _mm512_packus_epi16(ab, cd);
            let (lo, hi) = (_mm512_set1_epi8(lo as i8), _mm512_set1_epi8(hi as i8));
            let codes = _mm512_min_epu8(_mm512_max_epu8(quarters, lo), hi);
            let by_position = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
            let codes = _mm512_permutexvar_epi32(by_position, codes);
            if step == 16 {
                return _mm512_storeu_si512(p.cast(), codes);
            }
            _mm_storeu_si128(p.cast(), _mm512_castsi512_si128(codes));
            _mm_storeu_si128(p.add(step).cast(), _mm512_extracti32x4_epi32::<1>(codes));
            _mm_storeu_si128(p.add(2 * step).cast(), _mm512_extracti32x4_epi32::<2>(codes));
            _mm_storeu_si128(p.add(3 * step).cast(), _mm512_extracti32x4_epi32::<3>(codes));
        }
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
        // The odd products' upper halves stand where they belong; the even ones' move down between them.
        Self(unsafe { _mm512_mask_shuffle_epi32::<0b11_11_01_01>(a[1], 0x5555, a[0]) })
    }
}
