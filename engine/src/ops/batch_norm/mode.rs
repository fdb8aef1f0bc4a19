//! Where batch norm's mean and variance come from.

use crate::{Error, Result, Tensor};

/// Added to the variance in every network of this project: PyTorch's default.
pub const EPS: f64 = 1e-5;

/// Where mean and variance come from.
#[derive(Clone, Copy, Debug)]
pub enum BatchNormMode<'a> {
    /// From the batch.
    Train {
        /// Added to the variance.
        eps: f32,
    },
    /// Given: running averages.
    Eval {
        /// `[C]`.
        mean: &'a [f32],
        /// `[C]`.
        var: &'a [f32],
        /// Added to the variance.
        eps: f32,
    },
}

/// Mean and variance of one batch, per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStats {
    /// `1/M sum x`.
    pub mean: Vec<f32>,
    /// `1/M sum (x - mean)^2`: biased, as used to normalise.
    pub var: Vec<f32>,
    /// `M`; the running average takes the unbiased variance `var * M / (M - 1)`.
    pub count: usize,
}

impl BatchStats {
    /// The statistics of `x [N, H, W, C]` by their definition, summed in `f64`.
    pub fn of(x: &Tensor) -> Self {
        let (c, count) = (x.shape().last(), x.len() / x.shape().last());
        let channel = |i: usize| x.data().iter().skip(i).step_by(c).map(|&v| f64::from(v));
        let mean: Vec<f64> = (0..c).map(|i| channel(i).sum::<f64>() / count as f64).collect();
        let var = (0..c).map(|i| channel(i).map(|v| (v - mean[i]).powi(2)).sum::<f64>() / count as f64);
        Self { var: var.map(|v| v as f32).collect(), mean: mean.iter().map(|m| *m as f32).collect(), count }
    }
}

/// Fails unless the shapes fit and there is something to take statistics of.
pub(crate) fn check(x: &Tensor, gamma: &Tensor, beta: &Tensor, mode: BatchNormMode<'_>) -> Result<()> {
    let Some((_, _, _, c)) = x.shape().nhwc() else {
        return Err(Error::shape("batch_norm", format!("x must be [N, H, W, C], got {}", x.shape())));
    };
    if gamma.len() != c || beta.len() != c {
        let (g, b) = (gamma.shape(), beta.shape());
        let detail = format!("x {} needs {c} channels of gamma and beta, got {g} and {b}", x.shape());
        return Err(Error::shape("batch_norm", detail));
    }
    match mode {
        BatchNormMode::Train { .. } if x.is_empty() => {
            let detail = format!("x {} has nothing to take mean and variance of", x.shape());
            Err(Error::shape("batch_norm", detail))
        }
        BatchNormMode::Eval { mean, var, .. } if mean.len() != c || var.len() != c => {
            let (m, v) = (mean.len(), var.len());
            let detail = format!("x has {c} channels but the running averages {m} and {v}");
            Err(Error::shape("batch_norm", detail))
        }
        _ => Ok(()),
    }
}
