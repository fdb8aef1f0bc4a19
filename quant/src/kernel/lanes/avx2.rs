//! [`Lanes`] in one AVX2 register; products in two, of the even and of the odd lanes.

use std::arch::x86_64::*;

use super::Lanes;

/// Eight `i32` of AVX2.
#[derive(Clone, Copy)]
pub struct Avx2Lanes(__m256i);

// SAFETY (every block below): the trait's contract: the CPU has AVX2, pointers lead to what is moved.
#[allow(clippy::undocumented_unsafe_blocks)] // stated once, above
impl Lanes for Avx2Lanes {
    const LANES: usize = 8;
    type Wide = [__m256i; 2];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self(unsafe { _mm256_set1_epi32(x) })
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        Self(unsafe { _mm256_loadu_si256(p.cast()) })
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        Self(unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())) })
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        unsafe {
            // Bytes 0, 4, 8, 12 of each half, then the two halves side by side.
            let lowest = _mm256_set1_epi32(0x0C08_0400);
            let halves = _mm256_shuffle_epi8(self.0, lowest);
            let (low, high) = (_mm256_castsi256_si128(halves), _mm256_extracti128_si256::<1>(halves));
            _mm_storel_epi64(p.cast(), _mm_unpacklo_epi32(low, high));
        }
    }
    #[inline(always)]
    unsafe fn store_four_u8(v: [Self; 4], lo: i32, hi: i32, p: *mut u8, step: usize) {
        unsafe {
            // Saturating to 16 and to 8 bits clips to 0..=255: of each position four codes in either half.
            let (ab, cd) = (_mm256_packs_epi32(v[0].0, v[1].0), _mm256_packs_epi32(v[2].0, v[3].0));
            let halves = _mm256_packus_epi16(ab, cd);
            let (lo, hi) = (_mm256_set1_epi8(lo as i8), _mm256_set1_epi8(hi as i8));
            let codes = _mm256_min_epu8(_mm256_max_epu8(halves, lo), hi);
            let codes = _mm256_permutevar8x32_epi32(codes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
            let (ab, cd) = (_mm256_castsi256_si128(codes), _mm256_extracti128_si256::<1>(codes));
            _mm_storel_epi64(p.cast(), ab);
            _mm_storel_epi64(p.add(step).cast(), _mm_unpackhi_epi64(ab, ab));
            _mm_storel_epi64(p.add(2 * step).cast(), cd);
            _mm_storel_epi64(p.add(3 * step).cast(), _mm_unpackhi_epi64(cd, cd));
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(unsafe { _mm256_sllv_epi32(self.0, k.0) })
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        Self(unsafe { _mm256_srav_epi32(self.0, t.0) })
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(unsafe { _mm256_min_epi32(_mm256_max_epi32(self.0, lo.0), hi.0) })
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> [__m256i; 2] {
        unsafe {
            let odd = |x| _mm256_srli_epi64::<32>(x);
            [_mm256_mul_epi32(self.0, m.0), _mm256_mul_epi32(odd(self.0), odd(m.0))]
        }
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> [__m256i; 2] {
        unsafe {
            // 0 1 2 3 and 4 5 6 7 to 0 2 4 6 and 1 3 5 7.
            let (a, b) = (_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(4).cast()));
            let (even, odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            [even, odd].map(|x| _mm256_permute4x64_epi64::<0b11_01_10_00>(x))
        }
    }
    #[inline(always)]
    unsafe fn add_wide(a: [__m256i; 2], b: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { [_mm256_add_epi64(a[0], b[0]), _mm256_add_epi64(a[1], b[1])] }
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: [__m256i; 2]) -> [__m256i; 2] {
        unsafe { a.map(|x| _mm256_slli_epi64::<8>(x)) }
    }
    #[inline(always)]
    unsafe fn upper(a: [__m256i; 2]) -> Self {
        Self(unsafe { _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(a[0]), a[1]) })
    }
}
