//! Batch norm, backward. With `x_hat = (x - mean) / std`, `M` pixels, and `g` the gradient behind the ReLU:
//!
//! `dbeta = sum g`, `dgamma = sum g x_hat`, `dr = g`,
//! `dx = gamma / std * (g - dbeta / M - x_hat dgamma / M)` with batch statistics, else `gamma / std * g`.
//!
//! Two passes: the sums (and `g`, written over `dy`), then `dx = u g + v x + w` with coefficients per channel.

use rayon::prelude::*;

use super::forward::Norm;
use crate::kernel::Isa;
use crate::kernel::channels::{self, ChannelPass, lanes, put};
use crate::{Context, Op, Tensor};

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

    fn backward(&self, ctx: &Context<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, gamma) = (ctx.input(0), ctx.input(1));
        let (_, h, w, c) = x.shape().nhwc().expect("forward checked the rank");
        let image = h * w * c;
        let sums: Vec<Vec<f32>> = dy
            .data_mut()
            .par_chunks_mut(image)
            .zip(x.data().par_chunks(image).zip(ctx.output().data().par_chunks(image)))
            .map(|(g, (x, y))| {
                let mut sums = vec![0.0; 2 * c];
                let y = self.relu.then_some(y);
                channels::run(self.isa, Sums { g, x, y, mean: &self.norm.mean, sums: &mut sums });
                sums
            })
            .collect();
        let total = |i: usize| sums.iter().map(|s| f64::from(s[i])).sum::<f64>();
        let dbeta = Tensor::from_fn([c], |c| total(c) as f32);
        let dgamma = Tensor::from_fn([c], |i| (total(c + i) * f64::from(self.norm.inv_std[i])) as f32);

        let m = if self.batch_statistics { (x.len() / c) as f64 } else { f64::INFINITY };
        let (mut u, mut v, mut q) = (vec![0.0; c], vec![0.0; c], vec![0.0; c]);
        for i in 0..c {
            let inv_std = f64::from(self.norm.inv_std[i]);
            let a = f64::from(gamma.data()[i]) * inv_std;
            let slope = -a * inv_std * f64::from(dgamma.data()[i]) / m;
            u[i] = a as f32;
            v[i] = slope as f32;
            q[i] = (-a * f64::from(dbeta.data()[i]) / m - slope * f64::from(self.norm.mean[i])) as f32;
        }
        let has_residual = ctx.inputs() == 4;
        let residual_wanted = has_residual && ctx.needs(3);
        let coefficients = Coefficients { u: &u, v: &v, q: &q };
        let (dx, dr) = if residual_wanted {
            let mut dx = Tensor::scratch(x.shape());
            let images = dy.data().par_chunks(image).zip(x.data().par_chunks(image));
            dx.data_mut().par_chunks_mut(image).zip(images).for_each(|(dx, (g, x))| {
                channels::run(self.isa, InputGrad { g: Some(g), dx, x, coefficients });
            });
            (dx, Some(dy))
        } else {
            let mut dx = dy;
            dx.data_mut().par_chunks_mut(image).zip(x.data().par_chunks(image)).for_each(|(dx, x)| {
                channels::run(self.isa, InputGrad { g: None, dx, x, coefficients });
            });
            (dx, None)
        };
        let mut all = vec![Some(dx), Some(dgamma), Some(dbeta)];
        if has_residual {
            all.push(dr);
        }
        all
    }
}

/// `g = dy` where `y > 0` (everywhere without ReLU), `sums[c] = sum g`, `sums[C + c] = sum g (x - mean)`.
struct Sums<'a> {
    g: &'a mut [f32],
    x: &'a [f32],
    y: Option<&'a [f32]>,
    mean: &'a [f32],
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
        let (mut sum, mut moment) = ([0.0f32; L], [0.0f32; L]);
        // Without a ReLU the result is not looked at: any positive number lets `dy` through.
        let y = self.y.unwrap_or(self.x);
        let keep_all = self.y.is_none();
        let pixels = self.g.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        for ((g, x), y) in pixels.zip(y.chunks_exact(channels)) {
            let (dy, x, y) = (lanes::<L>(g, c), lanes::<L>(x, c), lanes::<L>(y, c));
            let mut masked = [0.0; L];
            for l in 0..L {
                masked[l] = if keep_all | (y[l] > 0.0) { dy[l] } else { 0.0 };
                sum[l] += masked[l];
                moment[l] += masked[l] * (x[l] - mean[l]);
            }
            put::<L>(g, c, masked);
        }
        put::<L>(self.sums, c, sum);
        put::<L>(self.sums, channels + c, moment);
    }
}

/// `u`, `v`, `q` of each channel.
#[derive(Clone, Copy)]
struct Coefficients<'a> {
    u: &'a [f32],
    v: &'a [f32],
    q: &'a [f32],
}

/// `dx = u g + v x + q`, where `g` stands in `dx` already unless it is given apart.
struct InputGrad<'a> {
    g: Option<&'a [f32]>,
    dx: &'a mut [f32],
    x: &'a [f32],
    coefficients: Coefficients<'a>,
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
        let pixels = self.dx.chunks_exact_mut(channels).zip(self.x.chunks_exact(channels));
        match self.g {
            None => {
                for (dx, x) in pixels {
                    let (g, x) = (lanes::<L>(dx, c), lanes::<L>(x, c));
                    put::<L>(dx, c, combine(g, x, u, v, q));
                }
            }
            Some(g) => {
                for ((dx, x), g) in pixels.zip(g.chunks_exact(channels)) {
                    put::<L>(dx, c, combine(lanes::<L>(g, c), lanes::<L>(x, c), u, v, q));
                }
            }
        }
    }
}

/// `u g + (v x + q)`.
#[inline(always)]
fn combine<const L: usize>(g: [f32; L], x: [f32; L], u: [f32; L], v: [f32; L], q: [f32; L]) -> [f32; L] {
    let mut y = [0.0; L];
    for l in 0..L {
        y[l] = u[l] * g[l] + (v[l] * x[l] + q[l]);
    }
    y
}
