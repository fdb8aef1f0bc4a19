//! The vector abstraction: what a kernel needs to know of an instruction set.

/// A register of `LANES` floats. Methods are as safe as the caller's promise that the machine has the
/// instructions; they are `unsafe` because nothing checks it here.
#[allow(clippy::missing_safety_doc)] // one contract for all methods, stated above; pointers below
pub trait Vector: Copy {
    /// Floats in a register.
    const LANES: usize;
    /// Registers there are: how large a register tile may be.
    const REGISTERS: usize;
    /// All lanes zero.
    unsafe fn zero() -> Self;
    /// All lanes `x`.
    unsafe fn splat(x: f32) -> Self;
    /// Reads `LANES` floats from `p`, of any alignment.
    unsafe fn load(p: *const f32) -> Self;
    /// Writes `LANES` floats to `p`, of any alignment.
    unsafe fn store(self, p: *mut f32);
    /// `self + other`.
    unsafe fn add(self, other: Self) -> Self;
    /// The larger of each pair of lanes; NaN where `other` is.
    unsafe fn max(self, other: Self) -> Self;
    /// `self + a * b` (with one rounding where the machine can).
    unsafe fn fma(self, a: Self, b: Self) -> Self;
}
