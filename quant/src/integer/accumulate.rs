//! The sums of a convolution, or of a linear layer, on a micro-kernel: bounds proved, images padded, tiles finished.

use engine::{Error, Result};
use rayon::prelude::*;

use super::bound::{accumulator_bound, fits_i32};
use super::window::{Image, Window};
use super::{Accumulators, Activation, PackedWeights, integer_conv2d_ref};
use crate::IntTensor;
use crate::kernel::{At, Epilogue, K_GROUP, Lanes, Layer, NR, Scratch, Tile};
use crate::numbers::uniform::check_zero_point;

/// Everything about a layer that does not depend on the values of its input.
pub(super) struct Convolution<'a> {
    weights: &'a PackedWeights,
    window: Window,
    /// `b_int`, or zeros.
    bias: Vec<i64>,
    /// The codes' padding: `-z_x`.
    pad: i32,
}

impl<'a> Convolution<'a> {
    pub(super) fn new(
        weights: &'a PackedWeights,
        window: Window,
        z_x: i32,
        b_int: Option<&[i64]>,
    ) -> Result<Self> {
        let bias = match b_int {
            Some(b) if b.len() != weights.outputs() => {
                let detail = format!("{} biases for {} output channels", b.len(), weights.outputs());
                return Err(Error::shape("bias", detail));
            }
            Some(b) => b.to_vec(),
            None => vec![0; weights.outputs()],
        };
        check_zero_point(z_x)?;
        // A sum of products stays below 2^62, so that nothing wraps in 64 bits.
        if let Some(b) = bias.iter().find(|b| b.unsigned_abs() > 1 << 62) {
            return Err(Error::value("bias", format!("must lie within +-2^62, got {b}")));
        }
        Ok(Self { weights, window, bias, pad: -z_x })
    }

    /// Runs the layer over all images, in the width the bound allows.
    pub(super) fn accumulate<X: Activation>(
        &self,
        x: &[X],
        shape: [usize; 4],
        (x_min, x_max): (i32, i32),
        z_x: i32,
    ) -> Result<Accumulators> {
        let largest = i64::from(x_min + z_x).abs().max(i64::from(x_max + z_x).abs());
        let (w, mut bias) = (self.weights, self.bias.clone());
        let bounds = w.abs_sums.iter().zip(&bias).map(|(&sum, &b)| accumulator_bound(largest, sum, b));
        let narrow = bounds.max().is_none_or(fits_i32);
        // The kernels add up single bytes in 32 bits; 65,794 weights of -128 would be too many.
        let bytes_fit = w.abs_sums.iter().all(|&sum| fits_i32(255 * sum));
        if !bytes_fit {
            return Ok(Accumulators::I64(self.wide(x, shape, z_x)));
        }
        for (b, &sum) in bias.iter_mut().zip(&w.sums) {
            *b += i64::from(z_x - X::OFFSET) * sum;
        }
        Ok(if narrow {
            let bias: Vec<i32> = bias.iter().map(|&b| b as i32).collect();
            let y = self.run(x, shape, |tiles, m, n, channel| {
                let acc = tiles.iter().rev().fold(0i32, |acc, t| (acc << 8).wrapping_add(t[m][n]));
                acc.wrapping_add(bias[channel])
            });
            Accumulators::I32(IntTensor::from_vec(shape, y)?)
        } else {
            let y = self.run(x, shape, |tiles, m, n, channel| {
                let acc = tiles.iter().rev().fold(0i64, |acc, t| (acc << 8) + i64::from(t[m][n]));
                acc + bias[channel]
            });
            Accumulators::I64(IntTensor::from_vec(shape, y)?)
        })
    }

    /// Sweeps over every image; `finish(tiles of each byte, m, n, channel)` makes a result of the sums. A
    /// linear layer's rows, an image of height 1, are dealt out in blocks.
    fn run<X: Activation, Y: Copy + Default + Send>(
        &self,
        x: &[X],
        [n, oh, ow, o]: [usize; 4],
        finish: impl Fn(&[&Tile], usize, usize, usize) -> Y + Sync,
    ) -> Vec<Y> {
        let mut y = vec![Y::default(); n * oh * ow * o];
        if y.is_empty() {
            return y;
        }
        let Image { h, w, c } = self.window.image;
        let block = if self.is_linear() { LINEAR_ROWS.min(w) } else { h * w };
        let results = if self.is_linear() { block } else { oh * ow };
        y.par_chunks_mut(results * o).zip(x.par_chunks(block * c)).for_each_init(
            || (vec![Vec::new(); X::BYTES], Scratch::default()),
            |(padded, scratch), (y, x)| {
                let plain = X::as_bytes(x).filter(|_| self.is_linear() && c == self.weights.channels_padded);
                if plain.is_none() {
                    for (part, padded) in padded.iter_mut().enumerate() {
                        self.pad_image(x, part, padded);
                    }
                }
                let planes: Vec<&[u8]> =
                    plain.map_or_else(|| padded.iter().map(|p| &p[..]).collect(), |x| vec![x]);
                let cols = if self.is_linear() { y.len() / o } else { ow };
                let mut epilogue = Finish { y, channels: o, finish: &finish };
                self.weights.kernel.sweep(&self.layer(&planes, cols), scratch, &mut epilogue);
            },
        );
        y
    }

    fn is_linear(&self) -> bool {
        let [_, kh, kw, _] = self.weights.dims;
        [kh, kw, self.window.image.h, self.window.stride, self.window.padding] == [1, 1, 1, 1, 0]
    }

    fn layer<'b>(&'b self, planes: &'b [&'b [u8]], cols: usize) -> Layer<'b> {
        let (Window { image, stride, padding, oh, .. }, [_, kh, kw, _]) = (self.window, self.weights.dims);
        let cp = self.weights.channels_padded;
        let row = (image.w + 2 * padding) * cp;
        Layer {
            planes,
            rows: oh,
            cols,
            row_step: stride * row,
            col_step: stride * cp,
            segments: kh,
            segment_stride: row,
            groups: kw * cp / K_GROUP,
            panels: &self.weights.panels,
        }
    }

    /// Byte `part` of one image (or block of rows), inside its border of padding, channels rounded up to
    /// whole groups.
    fn pad_image<X: Activation>(&self, x: &[X], part: usize, padded: &mut Vec<u8>) {
        let (Window { image: Image { h, c, .. }, padding, .. }, cp) =
            (self.window, self.weights.channels_padded);
        let w = x.len() / (h * c);
        let row = (w + 2 * padding) * cp;
        padded.clear();
        padded.resize((h + 2 * padding) * row, X::from_i32(self.pad).byte(part));
        for (y, x) in x.chunks(w * c).enumerate() {
            let padded = &mut padded[(y + padding) * row + padding * cp..][..w * cp];
            if c == cp {
                for (to, from) in padded.iter_mut().zip(x) {
                    *to = from.byte(part);
                }
                continue;
            }
            for (to, from) in padded.chunks_mut(cp).zip(x.chunks(c)) {
                for (to, from) in to.iter_mut().zip(from) {
                    *to = from.byte(part);
                }
            }
        }
    }

    /// The reference, for layers too large for the kernels' 32 bits.
    fn wide<X: Activation>(&self, x: &[X], [n, ..]: [usize; 4], z_x: i32) -> IntTensor<i64> {
        let Image { h, w, c } = self.window.image;
        let x = IntTensor::from_vec([n, h, w, c], x.to_vec()).expect("n images");
        let weights = IntTensor::from_vec(self.weights.dims, self.weights.w_int().data().to_vec());
        let weights = weights.expect("the same weights in rank 4");
        integer_conv2d_ref(&x, z_x, &weights, Some(&self.bias), self.window.stride, self.window.padding)
    }
}

/// Rows of a linear layer that are one task.
pub(super) const LINEAR_ROWS: usize = 256;

/// Writes each tile's results where they belong.
struct Finish<'a, Y, F> {
    y: &'a mut [Y],
    channels: usize,
    finish: &'a F,
}

impl<Y, F: Fn(&[&Tile], usize, usize, usize) -> Y> Epilogue for Finish<'_, Y, F> {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At) {
        let channels = NR.min(self.channels - at.channel);
        for m in 0..at.rows {
            let y = &mut self.y[(at.position + m) * self.channels + at.channel..][..channels];
            for (n, y) in y.iter_mut().enumerate() {
                *y = (self.finish)(tiles, m, n, at.channel + n);
            }
        }
    }
}
