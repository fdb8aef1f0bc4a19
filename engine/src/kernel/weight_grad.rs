//! Gradient of the weights from one image:
//! `dw[kh, i, o] += sum over oy, ox of x[(oy s + kh), ox s C + i] * dy[oy, ox, o]`, where `i < KW * C` runs
//! over a row of the receptive field, contiguous in the padded image.
//!
//! Plain: `dw` of [`ops::conv2d_backward_ref`](crate::ops::conv2d_backward_ref); `fast/conv2d/tests.rs` holds it to that.
//!
//! Loops, outermost first: `kh` / blocks of output channels / tiles of `MR` field entries / rows / pixels.
//! The `MR x NR` sums stay in registers for the whole image.

use super::tile::outer;
use super::{Kernel, Vector};

/// One image's contribution to `dw [KH, KW * C, O]`.
pub(crate) struct WeightGrad<'a> {
    /// Padded image.
    pub x: &'a [f32],
    /// Floats of a padded row.
    pub x_row: usize,
    /// Floats from a pixel's field to the next pixel's: `stride * C`.
    pub x_step: usize,
    /// Rows from an output row's field to the next row's.
    pub stride: usize,
    /// `[OH, OW, O]`.
    pub dy: &'a [f32],
    /// OH, OW, O.
    pub dy_dims: [usize; 3],
    /// KH and `KW * C`.
    pub field: [usize; 2],
    /// Added to.
    pub dw: &'a mut [f32],
}

impl WeightGrad<'_> {
    /// The bounds that make the kernel's unchecked indexing sound.
    fn check(&self, lanes: usize) {
        let ([kh, kwc], [oh, ow, o]) = (self.field, self.dy_dims);
        assert!(oh > 0 && ow > 0 && kh > 0 && o.is_multiple_of(lanes));
        assert!(self.dy.len() >= oh * ow * o && self.dw.len() >= kh * kwc * o);
        let last = ((oh - 1) * self.stride + kh - 1) * self.x_row + (ow - 1) * self.x_step;
        assert!(last + kwc <= self.x.len(), "the field leaves the image");
    }

    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn blocks<V: Vector, const NR: usize>(&mut self) {
        let ([kh, kwc], o) = (self.field, self.dy_dims[2]);
        for kh in 0..kh {
            for o in (0..o).step_by(NR * V::LANES) {
                let mut i = 0;
                while i < kwc {
                    // SAFETY: `check` bounded `i < kwc` and `o`; a tile covers MR <= kwc - i entries.
                    i += unsafe {
                        match (V::REGISTERS / 2 / NR).min(kwc - i) {
                            16.. => self.tile::<V, 16, NR>(kh, i, o),
                            8.. => self.tile::<V, 8, NR>(kh, i, o),
                            4.. => self.tile::<V, 4, NR>(kh, i, o),
                            2.. => self.tile::<V, 2, NR>(kh, i, o),
                            _ => self.tile::<V, 1, NR>(kh, i, o),
                        }
                    };
                }
            }
        }
    }

    /// Computes `MR` field entries and returns `MR`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const MR: usize, const NR: usize>(
        &mut self,
        kh: usize,
        i: usize,
        o: usize,
    ) -> usize {
        let ([_, kwc], [oh, ow, channels]) = (self.field, self.dy_dims);
        // SAFETY: `check` and the caller bound all indices.
        unsafe {
            let dw = self.dw.as_mut_ptr().add((kh * kwc + i) * channels + o);
            let mut acc = [[V::zero(); NR]; MR];
            for oy in 0..oh {
                let x = self.x.as_ptr().add((oy * self.stride + kh) * self.x_row + i);
                let dy = self.dy.as_ptr().add(oy * ow * channels + o);
                outer(&mut acc, x, self.x_step, dy, channels, ow);
            }
            for r in 0..MR {
                for j in 0..NR {
                    let p = dw.add(r * channels + j * V::LANES);
                    V::load(p).add(acc[r][j]).store(p);
                }
            }
        }
        MR
    }
}

impl Kernel for WeightGrad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        self.check(V::LANES);
        // SAFETY: the bounds were checked; the caller vouches for the instructions.
        unsafe {
            match self.dy_dims[2] / V::LANES {
                vectors if vectors % 2 == 0 => self.blocks::<V, 2>(),
                _ => self.blocks::<V, 1>(),
            }
        }
    }
}
