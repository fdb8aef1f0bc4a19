//! Passes over an image `[pixels, C]` that treat each channel by its own coefficients: the loops of batch
//! norm. Plain loops over blocks of `L` channels, which the compiler vectorises for the instruction set they
//! are entered through. No fused multiply-add is used, so every instruction set gives the same bits.

use super::{Isa, Kernel, Vector};

/// A pass over the pixels of one image, for blocks of `L` channels.
pub(crate) trait ChannelPass {
    /// Number of channels.
    fn channels(&self) -> usize;
    /// Handles channels `c..c + L` of all pixels.
    fn block<const L: usize>(&mut self, c: usize);
}

/// Runs `pass` over all of its channels.
pub(crate) fn run(isa: Isa, pass: impl ChannelPass) {
    isa.run(Enter(pass));
}

struct Enter<P>(P);

impl<P: ChannelPass> Kernel for Enter<P> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        let channels = self.0.channels();
        match channels {
            c if c.is_multiple_of(16) => (0..channels).step_by(16).for_each(|c| self.0.block::<16>(c)),
            c if c.is_multiple_of(8) => (0..channels).step_by(8).for_each(|c| self.0.block::<8>(c)),
            _ => (0..channels).for_each(|c| self.0.block::<1>(c)),
        }
    }
}

/// The `L` values of channels `c..` of a pixel.
#[inline(always)]
pub(crate) fn lanes<const L: usize>(pixel: &[f32], c: usize) -> [f32; L] {
    pixel[c..c + L].try_into().expect("a block lies inside the channels")
}

/// Writes the `L` values of channels `c..` of a pixel.
#[inline(always)]
pub(crate) fn put<const L: usize>(pixel: &mut [f32], c: usize, values: [f32; L]) {
    pixel[c..c + L].copy_from_slice(&values);
}
