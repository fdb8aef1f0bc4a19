//! [`Lanes`] in two AVX2 registers; products in four: even and odd lanes of each.

use std::arch::x86_64::*;
use std::array::from_fn;

use super::Lanes;

/// Sixteen `i32` of AVX2.
#[derive(Clone, Copy)]
pub struct Avx2Lanes([__m256i; 2]);

// SAFETY (every block below): the trait's contract: the CPU has AVX2, pointers lead to what is moved.
#[allow(clippy::undocumented_unsafe_blocks)] // stated once, above
impl Lanes for Avx2Lanes {
    /// `[even, odd]` of lanes 0..8, then of lanes 8..16.
    type Wide = [[__m256i; 2]; 2];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self([unsafe { _mm256_set1_epi32(x) }; 2])
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        Self(from_fn(|h| unsafe { _mm256_loadu_si256(p.add(8 * h).cast()) }))
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut i32) {
        for h in 0..2 {
            unsafe { _mm256_storeu_si256(p.add(8 * h).cast(), self.0[h]) }
        }
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        Self(from_fn(|h| unsafe { _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.add(8 * h).cast())) }))
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        unsafe {
            // Lowest bytes only, so that neither packing saturates; each packs within 128-bit halves.
            let low = self.0.map(|x| _mm256_and_si256(x, _mm256_set1_epi32(255)));
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packus_epi32(low[0], low[1]));
            let bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(p.cast(), bytes);
        }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(from_fn(|h| unsafe { _mm256_add_epi32(self.0[h], other.0[h]) }))
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(from_fn(|h| unsafe { _mm256_sllv_epi32(self.0[h], k.0[h]) }))
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        Self(from_fn(|h| unsafe { _mm256_srav_epi32(self.0[h], t.0[h]) }))
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(from_fn(|h| unsafe { _mm256_min_epi32(_mm256_max_epi32(self.0[h], lo.0[h]), hi.0[h]) }))
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> Self::Wide {
        from_fn(|h| unsafe {
            let odd = |x| _mm256_srli_epi64::<32>(x);
            [_mm256_mul_epi32(self.0[h], m.0[h]), _mm256_mul_epi32(odd(self.0[h]), odd(m.0[h]))]
        })
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> Self::Wide {
        from_fn(|h| unsafe {
            // 0 1 2 3 and 4 5 6 7 to 0 2 4 6 and 1 3 5 7.
            let a = _mm256_loadu_si256(p.add(8 * h).cast());
            let b = _mm256_loadu_si256(p.add(8 * h + 4).cast());
            let (even, odd) = (_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
            [even, odd].map(|x| _mm256_permute4x64_epi64::<0b11_01_10_00>(x))
        })
    }
    #[inline(always)]
    unsafe fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        from_fn(|h| from_fn(|i| unsafe { _mm256_add_epi64(a[h][i], b[h][i]) }))
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: Self::Wide) -> Self::Wide {
        a.map(|half| half.map(|x| unsafe { _mm256_slli_epi64::<8>(x) }))
    }
    #[inline(always)]
    unsafe fn upper(a: Self::Wide) -> Self {
        Self(a.map(|[even, odd]| unsafe {
            _mm256_blend_epi32::<0b1010_1010>(_mm256_srli_epi64::<32>(even), odd)
        }))
    }
}
