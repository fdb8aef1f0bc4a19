//! Plain loops, compiled for the instruction set in use: for passes over memory that the compiler vectorises well,
//! here and in crates that have no vectors of their own.

use super::{Isa, Kernel, Vector};

/// A computation without vectors in its source. Implementations are `#[inline(always)]`, so that they are compiled
/// with the features of the function they are entered through. (What they call must be inlined too.)
pub trait Plain {
    /// What it returns.
    type Output;
    /// Runs it.
    fn run(self) -> Self::Output;
}

impl Isa {
    /// Runs `loops`, compiled for this instruction set. No fused multiply-add is made of a product and a sum, so every
    /// instruction set gives the same bits.
    pub fn run_plain<P: Plain>(self, loops: P) -> P::Output {
        self.run(Enter(loops))
    }
}

struct Enter<P>(P);

impl<P: Plain> Kernel for Enter<P> {
    type Output = P::Output;

    #[inline(always)]
    unsafe fn run<V: Vector>(self) -> P::Output {
        self.0.run()
    }
}
