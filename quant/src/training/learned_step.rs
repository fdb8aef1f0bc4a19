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
//! the clipping value `alpha = s qmax` and looks at clipped values only, so that nothing but clipping moves it outward.
//!
//! The sum of `dx_hat/ds` over many values is far larger than a weight's gradient in relation to the value it moves;
//! LSQ divides it by `sqrt(N qmax)` for `N` values (its section 2.2): [`gradient_scale`], (9d).

use engine::{Op, Record, Result, Tape, Tensor, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

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

/// [`fake_quantize`](crate::fake_quantize()) of `x` with the step `s`, a scalar on the tape that gets a gradient too.
/// `ste` is the gradient of `x`; zero point 0.
///
/// # Errors
/// If a value is NaN, or the step is not positive.
pub fn fake_quantize_learned_on(
    tape: &mut Tape,
    x: Var,
    s: Var,
    grid: Grid,
    ste: Ste,
    gradient: StepGradient,
) -> Result<Var> {
    let s_value = tape.value(s).data()[0];
    let x_hat = fake_quantize(tape.value(x), &QParams::per_tensor(grid, s_value, 0)?)?;
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
        let (x, s) = (record.input(0).data(), record.input(1).data()[0]);
        let (lo, hi) = (self.grid.qmin as f32 * s, self.grid.qmax as f32 * s);
        // Sums of fixed chunks, added in order: the same bits for any number of threads.
        let chunks = x.par_chunks(CHUNK).zip(dy.data_mut().par_chunks_mut(CHUNK));
        let sums: Vec<f64> = chunks
            .map(|(x, dy)| {
                let ds = step_gradient(x, dy, s, self.grid, self.gradient);
                if self.ste == Ste::Clipped {
                    x.iter().zip(dy).for_each(|(&x, dy)| *dy = if x >= lo && x <= hi { *dy } else { 0.0 });
                }
                ds
            })
            .collect();
        let ds = sums.iter().sum::<f64>() as f32;
        vec![record.needs(0).then_some(dy), Some(Tensor::scalar(ds))]
    }
}

/// `sum dy dx_hat/ds` over a slice: [`StepGradient::of`] without a branch, in blocks whose partial sums are floats. Both
/// divide in `f32`, unlike the forward pass: a value within a rounding of a tie may count for the neighbour of its code.
/// (To multiply by `1 / s` would be quicker, but puts a value that lies exactly on the grid's end inside it now and then.)
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
mod tests {
    use super::*;

    fn values() -> (Tensor, Tensor) {
        let x = Tensor::from_fn([40, 50], |i| ((i as f32 * 0.37).sin() + (i as f32 * 0.011).cos()) * 1.3);
        let dy = Tensor::from_fn([40, 50], |i| (i as f32 * 0.73).cos());
        (x, dy)
    }

    fn gradients(s: f32, grid: Grid, ste: Ste, gradient: StepGradient) -> (Tensor, f32) {
        let (x, dy) = values();
        let mut tape = Tape::new();
        let (x, s) = (tape.leaf(x, true), tape.leaf(Tensor::scalar(s), true));
        let y = fake_quantize_learned_on(&mut tape, x, s, grid, ste, gradient).unwrap();
        tape.backward(y, dy).unwrap();
        (tape.grad(x).unwrap().clone(), tape.grad(s).unwrap().data()[0])
    }

    #[test]
    fn the_step_gets_the_gradient_of_the_formula() {
        let (x, dy) = values();
        for grid in [Grid::signed(2).unwrap(), Grid::unsigned(2).unwrap(), Grid::signed(4).unwrap()] {
            for gradient in [StepGradient::Lsq, StepGradient::Pact] {
                let s = 0.31;
                let terms = x.data().iter().zip(dy.data());
                let expected: f64 =
                    terms.map(|(&x, &dy)| f64::from(dy) * f64::from(gradient.of(x, s, grid))).sum();
                let (_, ds) = gradients(s, grid, Ste::Clipped, gradient);
                assert!((f64::from(ds) - expected).abs() < 1e-3 * (1.0 + expected.abs()), "{ds} {expected}");
            }
        }
    }

    /// A value that lies on the grid's end as exactly as floats can say counts as clipped, in sums as alone.
    #[test]
    fn the_ends_of_the_grid_count_as_beyond_it() {
        let mut edges = 0;
        for (i, signed) in (1..2000).zip([true, false].into_iter().cycle()) {
            let (s, grid) = (0.001 * i as f32, Grid::new(2 + i % 7, signed).unwrap());
            let x = s * grid.qmax as f32;
            if x / s == grid.qmax as f32 {
                edges += 1;
                let sum = step_gradient(&[x], &[1.0], s, grid, StepGradient::Lsq);
                assert_eq!(sum as f32, StepGradient::Lsq.of(x, s, grid), "{x} {s}");
            }
        }
        assert!(edges > 1000, "{edges}");
    }

    #[test]
    fn by_hand() {
        // The grid is 0, 1, 2, 3 times 0.5.
        let grid = Grid::unsigned(2).unwrap();
        let of = |x, gradient: StepGradient| gradient.of(x, 0.5, grid);
        assert_eq!(of(-0.2, StepGradient::Lsq), 0.0);
        assert!((of(0.6, StepGradient::Lsq) - (1.0 - 1.2)).abs() < 1e-6);
        assert_eq!(of(0.6, StepGradient::Pact), 0.0);
        assert_eq!(of(7.0, StepGradient::Pact), 3.0);
    }

    #[test]
    fn values_get_the_straight_through_gradient_that_was_asked_for() {
        let (x, dy) = values();
        let grid = Grid::signed(2).unwrap();
        let (dx, _) = gradients(0.5, grid, Ste::Identity, StepGradient::Lsq);
        assert_eq!(dx.data(), dy.data());
        let (dx, _) = gradients(0.5, grid, Ste::Clipped, StepGradient::Lsq);
        for ((dx, &x), &dy) in dx.data().iter().zip(x.data()).zip(dy.data()) {
            assert_eq!(*dx, if (-1.0..=0.5).contains(&x) { dy } else { 0.0 });
        }
    }

    #[test]
    fn following_the_gradient_lowers_the_error_of_rounding() {
        // L = |x - x_hat|^2 / 2, so dy = x_hat - x; LSQ's gradient is L's true derivative where no code changes.
        let (x, _) = values();
        let grid = Grid::signed(3).unwrap();
        let error = |s: f32| {
            let x_hat = fake_quantize(&x, &QParams::per_tensor(grid, s, 0).unwrap()).unwrap();
            x.data().iter().zip(x_hat.data()).map(|(x, h)| f64::from(x - h).powi(2)).sum::<f64>()
        };
        let mut s = 1.5f32;
        for _ in 0..200 {
            let mut tape = Tape::new();
            let (vx, vs) = (tape.leaf(x.clone(), false), tape.leaf(Tensor::scalar(s), true));
            let y =
                fake_quantize_learned_on(&mut tape, vx, vs, grid, Ste::Clipped, StepGradient::Lsq).unwrap();
            let dy = Tensor::from_fn(x.shape(), |i| tape.value(y).data()[i] - x.data()[i]);
            tape.backward(y, dy).unwrap();
            s -= 0.02 * gradient_scale(x.len(), grid) * tape.grad(vs).unwrap().data()[0];
        }
        let best = (1..400).map(|i| error(i as f32 * 0.005)).fold(f64::INFINITY, f64::min);
        assert!(error(s) < 1.02 * best, "step {s}: {} against {best}", error(s));
    }
}
