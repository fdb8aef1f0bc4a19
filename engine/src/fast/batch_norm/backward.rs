//! Batch norm, backward. With `x_hat = (x - mean) / std`, `M` pixels, and `g` the gradient behind the ReLU:
//!
//! `dbeta = sum g`, `dgamma = sum g x_hat`, `dr = g`,
//! `dx = gamma / std * (g - dbeta / M - x_hat dgamma / M)` with batch statistics, else `gamma / std * g`.
//!
//! Plain: the backward pass of [`ops::batch_norm`](crate::ops::batch_norm()).
//!
//! Two passes: the sums (and `g`, written over `dy`), then `dx = u g + v x + w` with coefficients per channel.

use rayon::prelude::*;

use super::forward::{Norm, image_len};
use crate::kernel::Isa;
use crate::kernel::channels::{self, ChannelPass, lanes, put};
use crate::{Op, Record, Tensor};

pub(super) struct BatchNorm {
    pub isa: Isa,
    pub relu: bool,
    pub norm: Norm,
    /// Whether mean and variance depend on `x`.
    pub batch_statistics: bool,
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn backward(&self, record: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, gamma) = (record.input(0), record.input(1));
        let c = x.shape().last();
        let mask = if self.relu { Mask::Output(record.output()) } else { Mask::None };
        let sums = gradient_sums(self.isa, &mut dy, x, &self.norm, mask);
        let (dgamma, dbeta) = parameter_gradients(&sums, &self.norm);
        let count = if self.batch_statistics { (x.len() / c) as f64 } else { f64::INFINITY };
        let coefficients = Coefficients::new(gamma, &self.norm, &dgamma, &dbeta, count);
        let mut dx = Tensor::scratch(x.shape());
        let image = image_len(x);
        let images = dy.data().par_chunks(image).zip(x.data().par_chunks(image));
        dx.data_mut().par_chunks_mut(image).zip(images).for_each(|(dx, (g, x))| {
            channels::run(self.isa, InputGrad { g, dx, x, coefficients: &coefficients, mask: None });
        });
        let mut all = vec![Some(dx), Some(dgamma), Some(dbeta)];
        if record.inputs() == 4 {
            all.push(record.needs(3).then_some(dy));
        }
        all
    }
}

/// Where the gradient passes the ReLU.
#[derive(Clone, Copy)]
pub(in crate::fast) enum Mask<'a> {
    /// Everywhere: there is none.
    None,
    /// Where this result of it is positive; what does not pass is set to zero in place.
    Output(&'a Tensor),
    /// Where `a x + b` is positive: found again from `x`, nothing is written.
    Again,
}

/// `[sum g, sum g (x - mean)]` of each image.
pub(in crate::fast) fn gradient_sums(
    isa: Isa,
    dy: &mut Tensor,
    x: &Tensor,
    norm: &Norm,
    mask: Mask<'_>,
) -> Vec<Vec<f32>> {
    let image = image_len(x);
    let images = dy.data_mut().par_chunks_mut(image).zip(x.data().par_chunks(image)).enumerate();
    let of = |(n, (g, x)): (usize, (&mut [f32], &[f32]))| {
        let mut sums = vec![0.0; 2 * norm.mean.len()];
        let mean = &norm.mean;
        match mask {
            Mask::Output(y) => {
                let y = &y.data()[n * image..][..image];
                channels::run(isa, MaskedSums { g, x, y, mean, sums: &mut sums });
            }
            Mask::Again => channels::run(isa, Sums { g, x, mean, mask: Some(norm), sums: &mut sums }),
            Mask::None => channels::run(isa, Sums { g, x, mean, mask: None, sums: &mut sums }),
        }
        sums
    };
    images.map(of).collect()
}

/// `dgamma`, `dbeta`; sums over images are taken in `f64` and in order.
pub(in crate::fast) fn parameter_gradients(sums: &[Vec<f32>], norm: &Norm) -> (Tensor, Tensor) {
    let c = norm.mean.len();
    let total = |i: usize| sums.iter().map(|s| f64::from(s[i])).sum::<f64>();
    let dbeta = Tensor::from_fn([c], |c| total(c) as f32);
    let dgamma = Tensor::from_fn([c], |i| (total(c + i) * f64::from(norm.inv_std[i])) as f32);
    (dgamma, dbeta)
}

/// `u`, `v`, `q` of each channel in `dx = u g + v x + q`.
pub(in crate::fast) struct Coefficients {
    u: Vec<f32>,
    v: Vec<f32>,
    q: Vec<f32>,
}

impl Coefficients {
    /// For statistics of `count` pixels; of infinitely many if they do not depend on `x`.
    pub(in crate::fast) fn new(
        gamma: &Tensor,
        norm: &Norm,
        dgamma: &Tensor,
        dbeta: &Tensor,
        count: f64,
    ) -> Self {
        let c = gamma.len();
        let (mut u, mut v, mut q) = (vec![0.0; c], vec![0.0; c], vec![0.0; c]);
        for i in 0..c {
            let inv_std = f64::from(norm.inv_std[i]);
            let a = f64::from(gamma.data()[i]) * inv_std;
            let slope = -a * inv_std * f64::from(dgamma.data()[i]) / count;
            u[i] = a as f32;
            v[i] = slope as f32;
            q[i] = (-a * f64::from(dbeta.data()[i]) / count - slope * f64::from(norm.mean[i])) as f32;
        }
        Self { u, v, q }
    }
}

/// `g = dy` where `y > 0`, written over `dy`; `sums[c] = sum g`, `sums[C + c] = sum g (x - mean)`.
struct MaskedSums<'a> {
    g: &'a mut [f32],
    x: &'a [f32],
    y: &'a [f32],
    mean: &'a [f32],
    sums: &'a mut [f32],
}

impl ChannelPass for MaskedSums<'_> {
    fn channels(&self) -> usize {
        self.mean.len()
    }

    #[inline(always)]
    fn block<const L: usize>(&mut self, c: usize) {
        let channels = self.mean.len();
        let mean = lanes::<L>(self.mean, c);
        let (mut sum, mut moment) = ([0.0f32; L], [0.0f32; L]);
        let pixels = self.g.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        for ((g, x), y) in pixels.zip(self.y.chunks_exact(channels)) {
            let (dy, x, y) = (lanes::<L>(g, c), lanes::<L>(x, c), lanes::<L>(y, c));
            let mut masked = [0.0; L];
            for l in 0..L {
                masked[l] = if y[l] > 0.0 { dy[l] } else { 0.0 };
                sum[l] += masked[l];
                moment[l] += masked[l] * (x[l] - mean[l]);
            }
            put::<L>(g, c, masked);
        }
        put::<L>(self.sums, c, sum);
        put::<L>(self.sums, channels + c, moment);
    }
}

/// The same sums of `g` as it is, or where `a x + b > 0`; nothing is written.
struct Sums<'a> {
    g: &'a [f32],
    x: &'a [f32],
    mean: &'a [f32],
    mask: Option<&'a Norm>,
    sums: &'a mut [f32],
}

impl ChannelPass for Sums<'_> {
    fn channels(&self) -> usize {
        self.mean.len()
    }

    #[inline(always)]
    fn block<const L: usize>(&mut self, c: usize) {
        let channels = self.mean.len();
        let mean = lanes::<L>(self.mean, c);
        let (a, b) = threshold::<L>(self.mask, c);
        let (mut sum, mut moment) = ([0.0f32; L], [0.0f32; L]);
        for (g, x) in self.g.chunks_exact(channels).zip(self.x.chunks_exact(channels)) {
            let (g, x) = (lanes::<L>(g, c), lanes::<L>(x, c));
            for l in 0..L {
                let masked = if a[l] * x[l] + b[l] > 0.0 { g[l] } else { 0.0 };
                sum[l] += masked;
                moment[l] += masked * (x[l] - mean[l]);
            }
        }
        put::<L>(self.sums, c, sum);
        put::<L>(self.sums, channels + c, moment);
    }
}

/// `a`, `b` of the condition `a x + b > 0`, which is always true without a mask.
#[inline(always)]
fn threshold<const L: usize>(mask: Option<&Norm>, c: usize) -> ([f32; L], [f32; L]) {
    match mask {
        Some(Norm { a, b, .. }) => (lanes::<L>(a, c), lanes::<L>(b, c)),
        None => ([0.0; L], [1.0; L]),
    }
}

/// `dx = u g + v x + q`, with `g` zero where `a x + b <= 0` if there is a mask.
pub(in crate::fast) struct InputGrad<'a> {
    pub g: &'a [f32],
    pub dx: &'a mut [f32],
    pub x: &'a [f32],
    pub coefficients: &'a Coefficients,
    pub mask: Option<&'a Norm>,
}

impl ChannelPass for InputGrad<'_> {
    fn channels(&self) -> usize {
        self.coefficients.u.len()
    }

    #[inline(always)]
    fn block<const L: usize>(&mut self, c: usize) {
        let Coefficients { u, v, q } = self.coefficients;
        let channels = u.len();
        let (u, v, q) = (lanes::<L>(u, c), lanes::<L>(v, c), lanes::<L>(q, c));
        let (a, b) = threshold::<L>(self.mask, c);
        let pixels = self.dx.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        for ((dx, x), g) in pixels.zip(self.g.chunks_exact(channels)) {
            let (g, x) = (lanes::<L>(g, c), lanes::<L>(x, c));
            let mut out = [0.0; L];
            for l in 0..L {
                let g = if a[l] * x[l] + b[l] > 0.0 { g[l] } else { 0.0 };
                out[l] = u[l] * g + (v[l] * x[l] + q[l]);
            }
            put::<L>(dx, c, out);
        }
    }
}
