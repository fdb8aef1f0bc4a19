//! Integer convolution and, on top of it alone, the quantized convolution (eq 6).

use engine::ops::extent;
use engine::{Error, Result, Tensor};
use rayon::prelude::*;

use super::bound::{accumulator_bound, fits_i32};
use super::weights::product_scales;
use super::{Accumulators, Activation, PackedWeights};
use crate::kernel::{At, Epilogue, K_GROUP, Lanes, Layer, MicroKernel, NR, Scratch, Tile};
use crate::{Code, IntTensor, QParams};

/// `sum (x_int + z_x) w_int + b_int` over the windows of an image, exactly.
///
/// `x_int` is `[N, H, W, C]`, the weights `[O, KH, KW, C]`, the result `[N, OH, OW, O]` with
/// `OH = (H + 2 padding - KH) / stride + 1`. Padding is real zero, code `-z_x`. 32-bit results where
/// [`accumulator_bound`] allows, else 64.
///
/// # Errors
/// If the shapes do not fit, the stride is 0, or there is padding and `-z_x` is not a code of `X`.
pub fn integer_conv2d<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Accumulators> {
    integer_conv2d_with(w.kernel, x_int, z_x, w, b_int, stride, padding)
}

/// [`integer_conv2d`] on a given micro-kernel. Weights that are packed for another one are packed anew.
///
/// # Errors
/// As [`integer_conv2d`]; or if the kernel is not exact for weights as large as these.
pub fn integer_conv2d_with<X: Activation>(
    kernel: &'static MicroKernel,
    x_int: &IntTensor<X>,
    z_x: i32,
    w: &PackedWeights,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Accumulators> {
    let Some((n, h, width, c)) = x_int.shape().nhwc() else {
        return Err(Error::shape(
            "conv2d",
            format!("activations must be [N, H, W, C], got {}", x_int.shape()),
        ));
    };
    let image = Image { h, w: width, c };
    let w = &*w.for_kernel(kernel)?;
    let window = Window::new(w, image, stride, padding)?;
    let plan = Plan::new(w, window, z_x, b_int)?;
    if padding > 0 && !(X::RANGE.0..=X::RANGE.1).contains(&-z_x) {
        let detail = format!("padding needs the code {} of real zero, beyond the activations' type", -z_x);
        return Err(Error::value("conv2d", detail));
    }
    let shape = [n, window.oh, window.ow, w.outputs()];
    plan.accumulate(x_int.data(), shape, X::RANGE, z_x)
}

/// Eq 6 over an image: `y = s_x s_w (sum (x_int + z_x) w_int + b_int)`, `[N, OH, OW, O]`.
///
/// # Errors
/// As [`integer_conv2d`]; or if the weights have a zero point, or scales that do not fit.
pub fn quantized_conv2d<X: Activation>(
    x_int: &IntTensor<X>,
    q_x: &QParams,
    w: &PackedWeights,
    q_w: &QParams,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> Result<Tensor> {
    let scale = product_scales("quantized_conv2d", q_x, q_w, w.outputs())?;
    Ok(integer_conv2d(x_int, q_x.zero_points()[0], w, b_int, stride, padding)?.rescale(&scale))
}

/// [`integer_conv2d`] as the formula reads, in 64 bits.
///
/// # Panics
/// If the shapes do not fit.
pub fn integer_conv2d_ref<X: Activation>(
    x_int: &IntTensor<X>,
    z_x: i32,
    w_int: &IntTensor<i8>,
    b_int: Option<&[i64]>,
    stride: usize,
    padding: usize,
) -> IntTensor<i64> {
    let (&[n, h, w, c], &[o, kh, kw, _]) = (x_int.dims(), w_int.dims()) else { panic!("rank 4") };
    let side = |n: usize, k: usize| extent(n, k, stride, padding).expect("a window that fits");
    let (oh, ow) = (side(h, kh), side(w, kw));
    let mut y = Vec::with_capacity(n * oh * ow * o);
    for i in 0..n * oh * ow * o {
        let (image, oy, ox, channel) = (i / (oh * ow * o), i / (ow * o) % oh, i / o % ow, i % o);
        let mut sum = b_int.map_or(0, |b| b[channel]);
        for k in 0..kh * kw * c {
            let (ky, kx, kc) = (k / (kw * c), k / c % kw, k % c);
            let (iy, ix) = (oy * stride + ky, ox * stride + kx);
            if iy < padding || ix < padding || iy - padding >= h || ix - padding >= w {
                continue; // real zero
            }
            let x = x_int.data()[((image * h + iy - padding) * w + ix - padding) * c + kc];
            sum += i64::from(x.to_i32() + z_x) * i64::from(w_int.data()[channel * kh * kw * c + k].to_i32());
        }
        y.push(sum);
    }
    IntTensor::from_vec([n, oh, ow, o], y).expect("as many as the shape holds")
}

/// The extents of one image.
#[derive(Clone, Copy)]
pub(super) struct Image {
    pub h: usize,
    pub w: usize,
    pub c: usize,
}

/// Where the windows lie in the padded image.
#[derive(Clone, Copy)]
pub(super) struct Window {
    image: Image,
    stride: usize,
    padding: usize,
    oh: usize,
    ow: usize,
}

impl Window {
    pub(super) fn new(w: &PackedWeights, image: Image, stride: usize, padding: usize) -> Result<Self> {
        let [_, kh, kw, c] = w.dims;
        if c != image.c {
            let detail = format!("weights {:?} take {c} channels, the activations have {}", w.dims, image.c);
            return Err(Error::shape("conv2d", detail));
        }
        let side = |n: usize, k: usize| extent(n, k, stride, padding);
        let (Some(oh), Some(ow)) = (side(image.h, kh), side(image.w, kw)) else {
            let detail = format!(
                "a {kh}x{kw} window with stride {stride} and padding {padding} does not fit {}x{}",
                image.h, image.w
            );
            return Err(Error::shape("conv2d", detail));
        };
        Ok(Self { image, stride, padding, oh, ow })
    }
}

/// Everything about a layer that does not depend on the values of its input.
pub(super) struct Plan<'a> {
    weights: &'a PackedWeights,
    window: Window,
    /// `b_int`, or zeros.
    bias: Vec<i64>,
    /// The codes' padding: `-z_x`.
    pad: i32,
}

impl<'a> Plan<'a> {
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
        // The kernels add up single bytes in 32 bits; 65,793 weights of -128 would be too many.
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
