//! Batch norm, forward: statistics in one pass over `x`, the normalisation in a second. Plain:
//! [`ops::batch_norm_ref`](crate::ops::batch_norm_ref) and [`BatchStats::of`].

use rayon::prelude::*;

use crate::kernel::Isa;
use crate::kernel::channels::{self, ChannelPass, lanes, put};
use crate::ops::{BatchNormMode, BatchStats, check_batch_norm};
use crate::{Result, Tensor};

/// `y = a x + b` of each channel, with what the backward pass needs.
pub(in crate::fast) struct Norm {
    pub mean: Vec<f32>,
    pub inv_std: Vec<f32>,
    /// `gamma / std`.
    pub a: Vec<f32>,
    /// `beta - mean gamma / std`.
    pub b: Vec<f32>,
}

pub(super) fn forward(
    isa: Isa,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    residual: Option<&Tensor>,
    relu: bool,
    mode: BatchNormMode<'_>,
) -> Result<(Tensor, Norm, Option<BatchStats>)> {
    check_batch_norm(x, gamma, beta, mode)?;
    if let Some(r) = residual {
        x.expect_same_shape("batch_norm residual", r)?;
    }
    let c = x.shape().last();
    let image = image_len(x);
    let (mean, var, eps, stats) = match mode {
        BatchNormMode::Train { eps } => {
            let sums: Vec<_> = x.data().par_chunks(image).map(|x| moments(isa, x, c)).collect();
            let stats = statistics(&sums, x.len() / c);
            (stats.mean.clone(), stats.var.clone(), eps, Some(stats))
        }
        BatchNormMode::Eval { mean, var, eps } => (mean.to_vec(), var.to_vec(), eps, None),
    };
    let norm = Norm::new(gamma.data(), beta.data(), mean, &var, eps);
    let y = apply(isa, x, &norm, residual, relu).0;
    Ok((y, norm, stats))
}

impl Norm {
    pub(in crate::fast) fn new(gamma: &[f32], beta: &[f32], mean: Vec<f32>, var: &[f32], eps: f32) -> Self {
        let inv_std: Vec<f32> =
            var.iter().map(|v| (1.0 / (f64::from(*v) + f64::from(eps)).sqrt()) as f32).collect();
        let a: Vec<f32> = gamma.iter().zip(&inv_std).map(|(g, i)| g * i).collect();
        let b = (0..mean.len()).map(|c| beta[c] - mean[c] * a[c]).collect();
        Self { mean, inv_std, a, b }
    }
}

/// `y = a x + b (+ r)`, clamped at 0 if `relu`, and the smallest and largest `y`.
pub(in crate::fast) fn apply(
    isa: Isa,
    x: &Tensor,
    Norm { a, b, .. }: &Norm,
    residual: Option<&Tensor>,
    relu: bool,
) -> (Tensor, [f32; 2]) {
    let image = image_len(x);
    let mut y = Tensor::scratch(x.shape());
    let images = y.data_mut().par_chunks_mut(image).zip(x.data().par_chunks(image)).enumerate();
    let ranges = images.map(|(n, (y, x))| {
        let residual = residual.map(|r| &r.data()[n * image..][..image]);
        let mut range = EMPTY;
        channels::run(isa, Apply { x, y, residual, relu, a, b, range: &mut range });
        range
    });
    let range = ranges.reduce(|| EMPTY, |p, q| [p[0].min(q[0]), p[1].max(q[1])]);
    (y, range)
}

/// Floats of one image of `x`; not 0 if there are none, because nothing can be cut into pieces of no length.
pub(super) fn image_len(x: &Tensor) -> usize {
    (x.len() / x.dims()[0].max(1)).max(1)
}

/// The range of nothing.
const EMPTY: [f32; 2] = [f32::INFINITY, f32::NEG_INFINITY];

/// `[sum x, sum x^2]` of each channel of one image, or of a few.
pub(in crate::fast) fn moments(isa: Isa, x: &[f32], c: usize) -> Vec<f32> {
    let mut sums = vec![0.0; 2 * c];
    channels::run(isa, Moments { x, c, sums: &mut sums });
    sums
}

/// Mean and variance of `count` pixels from the [`moments`] of images. Sums of one image are taken in `f32`, sums over
/// images in `f64` and in order: the same bits for any number of threads. The larger `|mean|` beside the deviation, the
/// more of `E[x^2] - E[x]^2` is lost to rounding: of values spread at random, in images of 1,024 pixels, less than 1e-3 of it where the
/// mean is ten deviations, less than 1e-1 where it is a hundred; others may lose more.
pub(in crate::fast) fn statistics(sums: &[Vec<f32>], count: usize) -> BatchStats {
    let c = sums.first().map_or(0, |s| s.len() / 2);
    let total = |i: usize| sums.iter().map(|s| f64::from(s[i])).sum::<f64>() / count as f64;
    let mean: Vec<f64> = (0..c).map(total).collect();
    let var = |i: usize| total(c + i) - mean[i] * mean[i];
    // Not `max(0)`, which would make a zero of NaN.
    let var = (0..c).map(var).map(|v| if v < 0.0 { 0.0 } else { v as f32 }).collect();
    BatchStats { mean: mean.iter().map(|m| *m as f32).collect(), var, count }
}

/// `sums[c] = sum x`, `sums[C + c] = sum x^2`.
struct Moments<'a> {
    x: &'a [f32],
    c: usize,
    sums: &'a mut [f32],
}

impl ChannelPass for Moments<'_> {
    fn channels(&self) -> usize {
        self.c
    }

    #[inline(always)]
    fn block<const L: usize>(&mut self, c: usize) {
        // Two sets of sums, so that one addition need not wait for the one before.
        let (mut sum, mut square) = ([[0.0f32; L]; 2], [[0.0f32; L]; 2]);
        for pair in self.x.chunks(2 * self.c) {
            for (i, pixel) in pair.chunks_exact(self.c).enumerate() {
                let x = lanes::<L>(pixel, c);
                for l in 0..L {
                    sum[i][l] += x[l];
                    square[i][l] += x[l] * x[l];
                }
            }
        }
        for l in 0..L {
            self.sums[c + l] = sum[0][l] + sum[1][l];
            self.sums[self.c + c + l] = square[0][l] + square[1][l];
        }
    }
}

/// `max(y, floor)`, but NaN if `y` is, which `f32::max` would hide.
#[inline(always)]
fn at_least(floor: f32, y: f32) -> f32 {
    if y < floor { floor } else { y }
}

/// `y = a x + b (+ r)`, clamped at 0 if `relu`; widens `range` to contain all `y`.
struct Apply<'a> {
    x: &'a [f32],
    y: &'a mut [f32],
    residual: Option<&'a [f32]>,
    relu: bool,
    a: &'a [f32],
    b: &'a [f32],
    range: &'a mut [f32; 2],
}

impl ChannelPass for Apply<'_> {
    fn channels(&self) -> usize {
        self.a.len()
    }

    #[inline(always)]
    fn block<const L: usize>(&mut self, c: usize) {
        let channels = self.a.len();
        let (a, b) = (lanes::<L>(self.a, c), lanes::<L>(self.b, c));
        let floor = if self.relu { 0.0 } else { f32::NEG_INFINITY };
        let (mut low, mut high) = ([self.range[0]; L], [self.range[1]; L]);
        let pixels = self.y.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        match self.residual {
            None => {
                for (y, x) in pixels {
                    let x = lanes::<L>(x, c);
                    let mut out = [0.0; L];
                    for l in 0..L {
                        out[l] = at_least(floor, a[l] * x[l] + b[l]);
                        low[l] = if out[l] < low[l] { out[l] } else { low[l] };
                        high[l] = if out[l] > high[l] { out[l] } else { high[l] };
                    }
                    put::<L>(y, c, out);
                }
            }
            Some(r) => {
                for ((y, x), r) in pixels.zip(r.chunks_exact(channels)) {
                    let (x, r) = (lanes::<L>(x, c), lanes::<L>(r, c));
                    let mut out = [0.0; L];
                    for l in 0..L {
                        out[l] = at_least(floor, a[l] * x[l] + b[l] + r[l]);
                        low[l] = if out[l] < low[l] { out[l] } else { low[l] };
                        high[l] = if out[l] > high[l] { out[l] } else { high[l] };
                    }
                    put::<L>(y, c, out);
                }
            }
        }
        for l in 0..L {
            self.range[0] = self.range[0].min(low[l]);
            self.range[1] = self.range[1].max(high[l]);
        }
    }
}
