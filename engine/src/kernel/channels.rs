//! Passes over an image `[pixels, C]` that treat each channel by its own coefficients: the loops of batch
//! norm. Plain loops over blocks of `L` channels, which the compiler vectorises for the instruction set they
//! are entered through. Plain: [`ops::batch_norm`](crate::ops::batch_norm()). No fused multiply-add is used, so every instruction set gives the same bits.

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
        // Plain loops: a closure would be a function of its own, compiled without this set's instructions.
        let mut c = 0;
        while c < channels {
            match channels {
                _ if channels.is_multiple_of(16) => {
                    self.0.block::<16>(c);
                    c += 16;
                }
                _ if channels.is_multiple_of(8) => {
                    self.0.block::<8>(c);
                    c += 8;
                }
                _ => {
                    self.0.block::<1>(c);
                    c += 1;
                }
            }
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
