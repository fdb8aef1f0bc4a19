//! The error of a quantizer: how large, and is it biased?
//!
//! ```text
//! mse   E[(x_hat - x)^2]
//! bias  E[x_hat - x]  =  clipping part (values beyond the clip range)  +  rounding part (the others)
//! SQNR  10 log10( E[x^2] / mse )   in dB
//! ```
//!
//! Rounding to nearest is nearly unbiased. Clipping is not, even for a symmetric distribution under the
//! symmetric scale: the grid `[-2^(b-1), 2^(b-1) - 1]` ends one step earlier at the top, so values
//! between `max - s/2` and `max` come out too small and nothing at the bottom balances them. The fewer
//! the bits, the larger the step, the larger that bias.

use engine::{Result, Tensor};

use crate::QParams;
use crate::numbers::entry::for_each_channel;
use crate::numbers::uniform::{quantize_value, restore_value};

/// The error of one tensor under one quantizer.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ErrorReport {
    /// Mean squared error.
    pub mse: f64,
    /// Mean error `E[x_hat - x]`.
    pub bias: f64,
    /// The part of `bias` from values outside the clip range `[s (qmin + z), s (qmax + z)]`.
    pub bias_clipping: f64,
    /// The part of `bias` from values inside it.
    pub bias_rounding: f64,
    /// Fraction of the values outside the clip range.
    pub clipped: f64,
    /// Signal to quantization noise in dB; infinite if there is no error.
    pub sqnr_db: f64,
}

/// The error of `x` under `q`.
///
/// # Errors
/// If a value is NaN or the channels are not those of `q`.
pub fn error_report(x: &Tensor, q: &QParams) -> Result<ErrorReport> {
    let mut report = ErrorReport::default();
    let mut signal = 0.0;
    for_each_channel("error_report", x.shape(), q, |channel, span| {
        let (s, z) = q.channel(channel);
        let (lo, hi) = q.clip_range(channel);
        for &x in &x.data()[span] {
            let x_hat = restore_value(quantize_value(x, s, z, q.grid())?, s, z);
            let error = f64::from(x_hat) - f64::from(x);
            report.mse += error * error;
            signal += f64::from(x) * f64::from(x);
            if x < lo || x > hi {
                report.bias_clipping += error;
                report.clipped += 1.0;
            } else {
                report.bias_rounding += error;
            }
        }
        Ok(())
    })?;
    let n = x.len().max(1) as f64;
    report.mse /= n;
    report.bias_clipping /= n;
    report.bias_rounding /= n;
    report.clipped /= n;
    report.bias = report.bias_clipping + report.bias_rounding;
    report.sqnr_db = 10.0 * (signal / n / report.mse).log10();
    if report.mse == 0.0 {
        report.sqnr_db = f64::INFINITY;
    }
    Ok(report)
}
