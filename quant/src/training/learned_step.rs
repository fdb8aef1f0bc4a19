//! Learned step sizes: the scale of a fake quantization is trained by gradient descent, like a weight.
//!
//! With `t = x / s` and the clipped straight-through estimator for the rounding, the derivative of
//! `x_hat = s clip(round(t), qmin, qmax)` is
//!
//! ```text
//! dx_hat/dx = 1   inside the clip range,  0 elsewhere
//!
//!             qmin           t <= qmin
//! dx_hat/ds = round(t) - t   qmin < t < qmax      LSQ
//!             0              qmin < t < qmax      PACT
//!             qmax           t >= qmax              (9c)
//! ```
//!
//! *LSQ* (Esser et al., "Learned step size quantization", ICLR 2020, its formula 3) feels the error of rounding inside the range:
//! a larger step clips less and rounds more coarsely, and the gradient weighs both. *PACT* (Choi et al. 2018, its formula 3) learns
//! the clipping value `alpha = s qmax` and looks at clipped values only, so that nothing but clipping moves it outward. (Its paper has
//! a penalty on `alpha` besides, which is not here; its gradient is scaled as LSQ's.)
//!
//! The sum of `dx_hat/ds` over many values is far larger than a weight's gradient in relation to the value it moves;
//! LSQ divides it by `sqrt(N qmax)` for `N` values (its section 2.2): [`gradient_scale`], (9d). `N` counts the weights, or the
//! activations of one image.
//!
//! A weight may have one step, or one for each output channel. Then every channel is a tensor of its own: its step feels its own
//! weights, and `N` counts those.

use engine::kernel::{Isa, Plain};
use engine::{Op, Record, Result, Tape, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::fake_quantize::Clip;
use crate::numbers::entry::CHUNK;
use crate::{Grid, QParams, Ste, fake_quantize};

/// Which derivative a learned step has inside the clip range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepGradient {
    /// `round(t) - t`.
    Lsq,
    /// 0.
    Pact,
}

impl StepGradient {
    /// `dx_hat/ds` of one value.
    // book: of
    pub fn of(self, x: f32, s: f32, grid: Grid) -> f32 {
        let (t, qmin, qmax) = (x / s, grid.qmin as f32, grid.qmax as f32);
        match self {
            _ if t <= qmin => qmin,
            _ if t >= qmax => qmax,
            Self::Lsq => t.round_ties_even() - t,
            Self::Pact => 0.0,
        }
    }
    // book end
}

/// Where a step comes from while a network is trained under quantization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRule {
    /// Weights: by the scale rule, anew in every pass. Activations: the moving average of the batches' ranges.
    #[default]
    Rule,
    /// Learned by gradient descent, LSQ (see above).
    Lsq,
    /// Learned by gradient descent from clipped values only, PACT.
    Pact,
}

impl StepRule {
    /// The derivative by which a step is learned; `None` if it is not.
    pub fn gradient(self) -> Option<StepGradient> {
        match self {
            Self::Rule => None,
            Self::Lsq => Some(StepGradient::Lsq),
            Self::Pact => Some(StepGradient::Pact),
        }
    }

    pub(crate) fn is_rule(&self) -> bool {
        *self == Self::Rule
    }
}

/// `1 / sqrt(values qmax)`: what LSQ multiplies the gradient of the step by, for `values` numbers on `grid`
/// (`qmax` counts as 1 on the grid of one signed bit, where it is 0).
pub fn gradient_scale(values: usize, grid: Grid) -> f32 {
    1.0 / (values as f32 * grid.qmax.max(1) as f32).sqrt()
}

/// [`fake_quantize`](crate::fake_quantize()) of `x` with the step `s` on the tape, which gets a gradient too: a scalar, or
/// `[channels]`, a step for each index of axis 0. `ste` is the gradient of `x`; zero points 0.
///
/// # Errors
/// If a value is NaN, a step is not positive, or there are not as many as channels.
pub fn fake_quantize_learned_on(
    tape: &mut Tape,
    x: Var,
    s: Var,
    grid: Grid,
    ste: Ste,
    gradient: StepGradient,
) -> Result<Var> {
    let steps = tape.value(s).data();
    let q = match tape.value(s).dims() {
        [] => QParams::per_tensor(grid, steps[0], 0)?,
        _ => QParams::per_channel(grid, steps.to_vec(), vec![0; steps.len()])?,
    };
    let x_hat = fake_quantize(tape.value(x), &q)?;
    Ok(tape.push(x_hat, &[x, s], LearnedStep { grid, ste, gradient }))
}

struct LearnedStep {
    grid: Grid,
    ste: Ste,
    gradient: StepGradient,
}

impl Op for LearnedStep {
    fn name(&self) -> &'static str {
        "learned_step"
    }

    fn backward(&self, record: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, s) = (record.input(0).data(), record.input(1));
        let span = x.len() / s.len(); // of a channel, or everything
        let channel = |(c, &s): (usize, &f32)| {
            let span = c * span..(c + 1) * span;
            self.channel_backward(&x[span.clone()], &mut dy.data_mut()[span], s)
        };
        let ds = s.data().iter().enumerate().map(channel).collect();
        let ds = Tensor::from_vec(s.shape(), ds).expect("one for each step");
        vec![record.needs(0).then_some(dy), Some(ds)]
    }
}

impl LearnedStep {
    /// The gradient of the step `s` that all of `x` has; `dy` becomes the gradient of `x`.
    fn channel_backward(&self, x: &[f32], dy: &mut [f32], s: f32) -> f32 {
        // Sums of fixed chunks, added in order: the same bits for any number of threads.
        let chunks = x.par_chunks(CHUNK).zip(dy.par_chunks_mut(CHUNK));
        let sums: Vec<f64> =
            chunks.map(|(x, dy)| Isa::active().run_plain(Backward { x, dy, s, of: self })).collect();
        sums.iter().sum::<f64>() as f32
    }
}

/// The gradients of a chunk: that of the step is returned, that of `x` takes the place of `dy`.
struct Backward<'a> {
    x: &'a [f32],
    dy: &'a mut [f32],
    s: f32,
    of: &'a LearnedStep,
}

impl Plain for Backward<'_> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Self { x, dy, s, of: LearnedStep { grid, ste, gradient } } = self;
        let ds = step_gradient(x, dy, s, *grid, *gradient);
        if *ste == Ste::Clipped {
            Clip { x, dy, range: (grid.qmin as f32 * s, grid.qmax as f32 * s) }.run();
        }
        ds
    }
}

/// `sum dy dx_hat/ds` over a slice: [`StepGradient::of`] without a branch, in blocks whose partial sums are floats. Both
/// divide in `f32`, unlike the forward pass: a value within a rounding of a tie may count for the neighbour of its code.
/// (To multiply by `1 / s` would be quicker, but puts a value that lies exactly on the grid's end inside it now and then.)
#[inline(always)]
fn step_gradient(x: &[f32], dy: &[f32], s: f32, grid: Grid, gradient: StepGradient) -> f64 {
    const LANES: usize = 16;
    const TO_INTEGER: f32 = 12_582_912.0; // 1.5 * 2^23: adding and subtracting it rounds, half to even
    let (qmin, qmax) = (grid.qmin as f32, grid.qmax as f32);
    let inside = if gradient == StepGradient::Lsq { 1.0 } else { 0.0 };
    let mut total = 0.0;
    for (x, dy) in x.chunks(LANES * 64).zip(dy.chunks(LANES * 64)) {
        let mut sums = [0.0f32; LANES];
        for (x, dy) in x.chunks(LANES).zip(dy.chunks(LANES)) {
            for ((sum, &x), &dy) in sums.iter_mut().zip(x).zip(dy) {
                let t = x / s;
                let clipped = t.max(qmin).min(qmax);
                let rounded = (clipped + TO_INTEGER) - TO_INTEGER;
                let within = inside * (rounded - clipped);
                let slope = if t <= qmin {
                    qmin
                } else if t >= qmax {
                    qmax
                } else {
                    within
                };
                *sum += dy * slope;
            }
        }
        total += sums.iter().map(|&v| f64::from(v)).sum::<f64>();
    }
    total
}

#[cfg(test)]
mod tests;
