//! [`Lanes`] in plain Rust: the definition.

use super::Lanes;

/// Sixteen `i32`.
#[derive(Clone, Copy)]
pub struct ScalarLanes([i32; 16]);

impl Lanes for ScalarLanes {
    const LANES: usize = 16;
    type Wide = [i64; 16];

    #[inline(always)]
    unsafe fn splat(x: i32) -> Self {
        Self([x; 16])
    }
    #[inline(always)]
    unsafe fn load(p: *const i32) -> Self {
        // SAFETY: the trait's contract: sixteen numbers stand there.
        Self(unsafe { p.cast::<[i32; 16]>().read_unaligned() })
    }
    #[inline(always)]
    unsafe fn load_u8(p: *const u8) -> Self {
        // SAFETY: the trait's contract.
        Self(unsafe { p.cast::<[u8; 16]>().read() }.map(i32::from))
    }
    #[inline(always)]
    unsafe fn store_u8(self, p: *mut u8) {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[u8; 16]>().write(self.0.map(|x| x as u8)) }
    }
    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].wrapping_add(other.0[i])))
    }
    #[inline(always)]
    unsafe fn shl(self, k: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] << k.0[i]))
    }
    #[inline(always)]
    unsafe fn sra(self, t: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i] >> t.0[i]))
    }
    #[inline(always)]
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self {
        Self(std::array::from_fn(|i| self.0[i].max(lo.0[i]).min(hi.0[i])))
    }
    #[inline(always)]
    unsafe fn mul(self, m: Self) -> [i64; 16] {
        std::array::from_fn(|i| i64::from(self.0[i]) * i64::from(m.0[i]))
    }
    #[inline(always)]
    unsafe fn load_wide(p: *const i64) -> [i64; 16] {
        // SAFETY: the trait's contract.
        unsafe { p.cast::<[i64; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn add_wide(a: [i64; 16], b: [i64; 16]) -> [i64; 16] {
        std::array::from_fn(|i| a[i].wrapping_add(b[i]))
    }
    #[inline(always)]
    unsafe fn shl8_wide(a: [i64; 16]) -> [i64; 16] {
        a.map(|x| x << 8)
    }
    #[inline(always)]
    unsafe fn upper(a: [i64; 16]) -> Self {
        Self(a.map(|x| (x >> 32) as i32))
    }
}
