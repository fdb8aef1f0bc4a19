//! Some sums at a time: what an epilogue needs to know of an instruction set.
//!
//! A tile's row is [`NR`](super::NR) sums of 32 bits, a whole number of [`Lanes`]. Requantization ([`super::requantize`]) is written once over this
//! trait; it multiplies into 64 bits, adds there, and takes the upper halves:
//!
//! ```text
//!              lane   0      1      2      3                    x86: vpmuldq multiplies the even lanes;
//!   Self   i32      [ a0 |  a1  |  a2  |  a3  | ... ]                the odd ones are moved down first
//!   Wide   i64      [  a0 m0    |   a2 m2     | ... ] even
//!                   [  a1 m1    |   a3 m3     | ... ] odd
//!   upper  i32      [ >>32 of each product, every lane back in its place ]
//! ```
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;

#[cfg(target_arch = "x86_64")]
pub(super) use avx2::Avx2Lanes;
#[cfg(target_arch = "x86_64")]
pub(super) use avx512::Avx512Lanes;
#[cfg(target_arch = "aarch64")]
pub(super) use neon::NeonLanes;
pub(super) use scalar::ScalarLanes;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(super) use simd128::Simd128Lanes;

/// [`LANES`](Self::LANES) integers of 32 bits. All methods ask of the caller that the CPU has the instructions, and that pointers lead
/// to as many numbers as the method moves.
#[allow(clippy::missing_safety_doc)] // one contract for all methods, stated above
pub trait Lanes: Copy {
    /// How many: a divisor of 16. As many as leave room in the registers for the constants of an epilogue.
    const LANES: usize;
    /// As many integers of 64 bits, in an order of its own.
    type Wide: Copy;
    /// All lanes `x`.
    unsafe fn splat(x: i32) -> Self;
    /// Reads `i32`.
    unsafe fn load(p: *const i32) -> Self;
    /// Reads bytes, zero-extended.
    unsafe fn load_u8(p: *const u8) -> Self;
    /// Writes the lowest byte of every lane.
    unsafe fn store_u8(self, p: *mut u8);
    /// Clips each of the four to `lo..=hi`, two codes of 8 bits, and writes its bytes, those of `v[i]` to `p + i step`.
    #[inline(always)]
    unsafe fn store_four_u8(v: [Self; 4], lo: i32, hi: i32, p: *mut u8, step: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            for (i, v) in v.into_iter().enumerate() {
                v.clamp(Self::splat(lo), Self::splat(hi)).store_u8(p.add(i * step));
            }
        }
    }
    /// Lane by lane, modulo `2^32`.
    unsafe fn add(self, other: Self) -> Self;
    /// `self << k`; all lanes of `k` are equal.
    unsafe fn shl(self, k: Self) -> Self;
    /// `floor(self / 2^t)`; all lanes of `t` are equal.
    unsafe fn sra(self, t: Self) -> Self;
    /// Between `lo` and `hi`.
    unsafe fn clamp(self, lo: Self, hi: Self) -> Self;
    /// The exact products.
    unsafe fn mul(self, m: Self) -> Self::Wide;
    /// Reads `i64`.
    unsafe fn load_wide(p: *const i64) -> Self::Wide;
    /// Lane by lane, modulo `2^64`.
    unsafe fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    /// `a << 8`.
    unsafe fn shl8_wide(a: Self::Wide) -> Self::Wide;
    /// `floor(a / 2^32)`.
    unsafe fn upper(a: Self::Wide) -> Self;
}
