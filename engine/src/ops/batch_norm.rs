//! Batch normalisation (Ioffe and Szegedy 2015), per channel over all `M = N H W` pixels of the batch:
//!
//! `y = gamma x_hat + beta`, with `x_hat = (x - mean) / sqrt(var + eps)`.
//!
//! Training takes mean and variance (biased) from the batch, inference from running averages.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([2, 1, 1, 1], vec![1., 3.])?, true); // mean 2, variance 1
//! let (gamma, beta) = (tape.leaf(Tensor::full([1], 10.), true), tape.leaf(Tensor::full([1], 5.), true));
//! let (y, _) = ops::batch_norm(&mut tape, x, gamma, beta, ops::BatchNormMode::Train { eps: 0.0 })?;
//! assert_eq!(tape.value(y).data(), [-5.0, 15.0]);
//! # Ok::<(), engine::Error>(())
//! ```

mod mode;

pub(crate) use mode::check;
pub use mode::{BatchNormMode, BatchStats, EPS};

use crate::{Op, Record, Result, Tape, Tensor, Var};

/// Batch norm of `x [N, H, W, C]` with `gamma [C]` and `beta [C]`, recorded. Returns the batch's statistics in
/// training mode.
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
    let value = tape.value(x);
    check(value, tape.value(gamma), tape.value(beta), mode)?;
    let (stats, eps) = match mode {
        BatchNormMode::Train { eps } => (BatchStats::of(value), eps),
        BatchNormMode::Eval { mean, var, eps } => {
            (BatchStats { mean: mean.to_vec(), var: var.to_vec(), count: 0 }, eps)
        }
    };
    let train = matches!(mode, BatchNormMode::Train { .. });
    let op = BatchNorm { stats: stats.clone(), eps, train };
    let y = batch_norm_ref(value, tape.value(gamma), tape.value(beta), &stats, eps);
    Ok((tape.push(y, &[x, gamma, beta], op), train.then_some(stats)))
}

/// `y` by its definition, in `f64`.
pub fn batch_norm_ref(x: &Tensor, gamma: &Tensor, beta: &Tensor, stats: &BatchStats, eps: f32) -> Tensor {
    Tensor::from_fn(x.shape(), |i| {
        let c = i % gamma.len();
        let y = f64::from(gamma.data()[c]) * x_hat(x, i, stats, eps) + f64::from(beta.data()[c]);
        y as f32
    })
}

/// `sqrt(var + eps)` of a channel.
fn std(stats: &BatchStats, c: usize, eps: f32) -> f64 {
    (f64::from(stats.var[c]) + f64::from(eps)).sqrt()
}

/// `(x - mean) / std` of element `i`.
fn x_hat(x: &Tensor, i: usize, stats: &BatchStats, eps: f32) -> f64 {
    let c = i % stats.mean.len();
    (f64::from(x.data()[i]) - f64::from(stats.mean[c])) / std(stats, c, eps)
}

struct BatchNorm {
    stats: BatchStats,
    eps: f32,
    /// Whether mean and variance depend on `x`.
    train: bool,
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    /// `dbeta = sum dy`, `dgamma = sum dy x_hat`, `dx = gamma / std (dy - dbeta / M - x_hat dgamma / M)`, the last two
    /// terms with batch statistics only.
    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, gamma, Self { stats, eps, train }) = (record.input(0), record.input(1), self);
        let (mut dgamma, mut dbeta) = (vec![0.0; gamma.len()], vec![0.0; gamma.len()]);
        for (i, &dy) in dy.data().iter().enumerate() {
            dbeta[i % gamma.len()] += f64::from(dy);
            dgamma[i % gamma.len()] += f64::from(dy) * x_hat(x, i, stats, *eps);
        }
        let dx = Tensor::from_fn(x.shape(), |i| {
            let c = i % gamma.len();
            let through_statistics = (dbeta[c] + x_hat(x, i, stats, *eps) * dgamma[c]) / stats.count as f64;
            let sum = f64::from(dy.data()[i]) - if *train { through_statistics } else { 0.0 };
            (f64::from(gamma.data()[c]) / std(stats, c, *eps) * sum) as f32
        });
        let vector = |v: Vec<f64>| Tensor::from_fn([v.len()], |c| v[c] as f32);
        vec![Some(dx), Some(vector(dgamma)), Some(vector(dbeta))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        let inputs = [wave([2, 3, 2, 2], 1), wave([2], 2), wave([2], 3)];
        let train = BatchNormMode::Train { eps: 1e-5 };
        check(&inputs, 5e-3, |tape, v| batch_norm(tape, v[0], v[1], v[2], train).unwrap().0);
        let (mean, var) = (wave([2], 7), Tensor::full([2], 0.5));
        let eval = BatchNormMode::Eval { mean: mean.data(), var: var.data(), eps: 1e-5 };
        check(&inputs, 5e-3, |tape, v| batch_norm(tape, v[0], v[1], v[2], eval).unwrap().0);
    }
}
