//! Batch norm, fast: `y = gamma * (x - mean) / sqrt(var + eps) + beta`, optionally followed by `+ r` (a residual) and ReLU
//! in the same pass over memory: past the second-level cache a core gets a few bytes per cycle, so a pass costs as
//! much as the arithmetic of a convolution.
//!
//! Equals the plain [`ops::batch_norm`](crate::ops::batch_norm()), [`ops::add`](crate::ops::add()) and
//! [`ops::relu`](crate::ops::relu()) up to rounding.

pub(super) mod backward;
pub(super) mod forward;

use crate::kernel::Isa;
use crate::ops::{BatchNormMode, BatchStats};
use crate::{Result, Tape, Var};

/// `y = gamma * (x - mean) / sqrt(var + eps) + beta` for `x [N, H, W, C]`, `gamma [C]`, `beta [C]`, recorded.
/// Returns the batch's statistics in training mode.
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_norm(
    tape: &mut Tape,
    x: Var,
    gamma: Var,
    beta: Var,
    mode: BatchNormMode<'_>,
) -> Result<(Var, Option<BatchStats>)> {
    record(tape, [x, gamma, beta], None, false, mode)
}

/// `y = max(batch_norm(x) + r, 0)`, with `r = 0` where `residual` is absent: the tail of a residual block in
/// one operation.
///
/// # Errors
/// If the shapes do not fit.
pub fn batch_norm_relu(
    tape: &mut Tape,
    x: Var,
    gamma: Var,
    beta: Var,
    residual: Option<Var>,
    mode: BatchNormMode<'_>,
) -> Result<(Var, Option<BatchStats>)> {
    record(tape, [x, gamma, beta], residual, true, mode)
}

fn record(
    tape: &mut Tape,
    [x, gamma, beta]: [Var; 3],
    residual: Option<Var>,
    relu: bool,
    mode: BatchNormMode<'_>,
) -> Result<(Var, Option<BatchStats>)> {
    let (vx, vg, vb) = (tape.value(x), tape.value(gamma), tape.value(beta));
    let vr = residual.map(|r| tape.value(r));
    let isa = Isa::active();
    let (y, norm, stats) = forward::forward(isa, vx, vg, vb, vr, relu, mode)?;
    let inputs: Vec<Var> = [Some(x), Some(gamma), Some(beta), residual].into_iter().flatten().collect();
    let op = backward::BatchNorm { isa, relu, norm, batch_statistics: stats.is_some() };
    Ok((tape.push(y, &inputs, op), stats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;
    use crate::ops::gradient_check::{check, wave};
    use crate::ops::{self, add, relu};
    use forward::{moments, statistics};

    const TRAIN: BatchNormMode<'static> = BatchNormMode::Train { eps: 1e-5 };

    #[test]
    fn a_batch_comes_out_with_mean_beta_and_deviation_gamma() {
        for c in [1, 8, 16, 48] {
            let mut tape = Tape::new();
            let x = tape.leaf(wave([2, 4, 4, c], 1), true);
            let (g, b) = (tape.leaf(Tensor::full([c], 2.0), true), tape.leaf(Tensor::full([c], 5.0), true));
            let (y, stats) = batch_norm(&mut tape, x, g, b, TRAIN).unwrap();
            let y = tape.value(y).data();
            for ch in 0..c {
                let values: Vec<f64> = y.iter().skip(ch).step_by(c).map(|&v| f64::from(v)).collect();
                let mean = values.iter().sum::<f64>() / 32.0;
                let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 32.0;
                assert!((mean - 5.0).abs() < 1e-4 && (var.sqrt() - 2.0).abs() < 1e-3, "{mean} {var}");
            }
            assert_eq!(stats.unwrap().mean.len(), c);
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let inputs = [wave([2, 3, 2, 2], 1), wave([2], 2), wave([2], 3)];
        check(&inputs, 5e-3, |tape, v| batch_norm(tape, v[0], v[1], v[2], TRAIN).unwrap().0);
        let (mean, var) = (wave([2], 7), Tensor::full([2], 0.5));
        let eval = BatchNormMode::Eval { mean: mean.data(), var: var.data(), eps: 1e-5 };
        check(&inputs, 5e-3, |tape, v| batch_norm(tape, v[0], v[1], v[2], eval).unwrap().0);
    }

    /// Against the definition: `|a - b| <= 1e-5 * max|b|`, values and gradients.
    #[test]
    fn equals_the_plain_operation() {
        let (mean, var) = (wave([16], 7), Tensor::full([16], 0.5));
        for mode in [TRAIN, BatchNormMode::Eval { mean: mean.data(), var: var.data(), eps: 1e-5 }] {
            let run = |fast: bool| {
                let mut tape = Tape::new();
                let v = [wave([3, 4, 5, 16], 1), wave([16], 2), wave([16], 3)].map(|t| tape.leaf(t, true));
                let norm = if fast { batch_norm } else { ops::batch_norm };
                let (y, stats) = norm(&mut tape, v[0], v[1], v[2], mode).unwrap();
                let mut all = vec![tape.value(y).clone()];
                all.extend(
                    stats
                        .into_iter()
                        .flat_map(|s| [s.mean, s.var])
                        .map(|v| Tensor::from_vec([16], v).unwrap()),
                );
                tape.backward(y, wave([3, 4, 5, 16], 5)).unwrap();
                all.extend(v.map(|v| tape.take_grad(v).unwrap()));
                all
            };
            for (got, expected) in run(true).iter().zip(&run(false)) {
                let bound = 1e-5 * expected.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
                let pairs = got.data().iter().zip(expected.data());
                pairs.for_each(|(a, b)| assert!((a - b).abs() <= bound, "{a} instead of {b}"));
            }
        }
    }

    /// The bounds that `statistics` states for means far from zero.
    #[test]
    fn a_mean_far_from_zero_costs_digits_of_the_variance() {
        for (mean, bound) in [(1.0, 1e-4), (10.0, 1e-3), (100.0, 1e-1)] {
            let x = wave([8, 32, 32, 16], 1);
            let deviation = BatchStats::of(&x).var[0].sqrt();
            let x = x.map(|v| v / deviation + mean);
            let sums: Vec<Vec<f32>> =
                x.data().chunks(32 * 32 * 16).map(|image| moments(Isa::active(), image, 16)).collect();
            let (got, expected) = (statistics(&sums, 8 * 32 * 32), BatchStats::of(&x));
            for (got, expected) in got.var.iter().zip(&expected.var) {
                assert!((got / expected - 1.0).abs() <= bound, "mean {mean}: {got} instead of {expected}");
            }
        }
    }

    /// Training on NaN must not look as if it went on.
    #[test]
    fn nan_stays_nan() {
        for relu in [false, true] {
            let mut tape = Tape::new();
            let mut x = wave([2, 4, 4, 16], 1);
            x.data_mut()[16 * 5 + 3] = f32::NAN;
            let v = [x, wave([16], 2), wave([16], 3)].map(|t| tape.leaf(t, true));
            let (y, stats) = if relu {
                batch_norm_relu(&mut tape, v[0], v[1], v[2], None, TRAIN).unwrap()
            } else {
                batch_norm(&mut tape, v[0], v[1], v[2], TRAIN).unwrap()
            };
            assert!(tape.value(y).data().iter().skip(3).step_by(16).all(|y| y.is_nan()), "relu: {relu}");
            assert!(stats.unwrap().var[3].is_nan());
            assert!(tape.value(y).data().iter().skip(4).step_by(16).all(|y| y.is_finite()));
        }
    }

    /// The fused operation equals its three parts, values and gradients.
    #[test]
    fn fused_equals_composed() {
        let (mean, var) = (wave([16], 7), Tensor::full([16], 0.5));
        for mode in [TRAIN, BatchNormMode::Eval { mean: mean.data(), var: var.data(), eps: 1e-5 }] {
            let run = |fused: bool| {
                let mut tape = Tape::new();
                let v = [wave([3, 4, 5, 16], 1), wave([16], 2), wave([16], 3), wave([3, 4, 5, 16], 4)]
                    .map(|t| tape.leaf(t, true));
                let y = if fused {
                    batch_norm_relu(&mut tape, v[0], v[1], v[2], Some(v[3]), mode).unwrap().0
                } else {
                    let y = batch_norm(&mut tape, v[0], v[1], v[2], mode).unwrap().0;
                    let y = add(&mut tape, y, v[3]).unwrap();
                    relu(&mut tape, y)
                };
                let value = tape.value(y).clone();
                tape.backward(y, wave([3, 4, 5, 16], 5)).unwrap();
                (value, v.map(|v| tape.take_grad(v).unwrap()))
            };
            assert_eq!(run(true), run(false));
        }
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut tape = Tape::new();
        let [x, g, b] = [wave([1, 2, 2, 4], 1), wave([3], 2), wave([4], 3)].map(|t| tape.leaf(t, true));
        let error = batch_norm(&mut tape, x, g, b, TRAIN).unwrap_err().to_string();
        assert_eq!(error, "batch_norm: x [1, 2, 2, 4] needs 4 channels of gamma and beta, got [3] and [4]");
    }
}
