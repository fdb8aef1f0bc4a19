//! The scale of an integer sum, `s_x s_w`, and the bias in its steps.
//!
//! ```text
//! eq 8   b_int = round( b / (s_x s_w) )        half to even, 64 bits
//! ```
//!
//! A sum of products `(x_int + z_x) w_int` counts in steps of `s_x s_w`; what is added to it must count in the same.

use engine::{Error, Result};

use crate::{Granularity, QParams};

/// `b_int = round(b / (s_x s_w))` (eq 8), half to even, of absolute value up to `2^53`: all that `f64` holds exactly, and what
/// leaves 64 bits room for the products.
///
/// 32 bits would not do: a step is as small as the weights, and a bias of 0.5 beside weights around 1e-7 is 6e9 steps.
///
/// # Errors
/// If a quotient is not a number or larger (the message names the channel), or there is not one scale for each bias.
// book: quantize_bias
pub fn quantize_bias(b: &[f32], s: &[f64]) -> Result<Vec<i64>> {
    const LARGEST: f64 = (1u64 << 53) as f64;
    if b.len() != s.len() {
        return Err(Error::shape("bias", format!("{} biases but {} scales", b.len(), s.len())));
    }
    let code = |(channel, (&b, &s)): (usize, (&f32, &f64))| {
        let exact = (f64::from(b) / s).round_ties_even();
        // NaN is in no range.
        if (-LARGEST..=LARGEST).contains(&exact) {
            return Ok(exact as i64);
        }
        let detail = format!("channel {channel}: {b} is not a number of steps of {s:e} up to 2^53");
        Err(Error::value("bias", detail))
    };
    b.iter().zip(s).enumerate().map(code).collect()
}
// book end

/// `s_x s_w` of each output channel, after checking that eq 6 applies: activations per tensor, weights
/// symmetric, scales one or one per output channel.
pub(crate) fn product_scales(
    op: &'static str,
    q_x: &QParams,
    q_w: &QParams,
    outputs: usize,
) -> Result<Vec<f64>> {
    if q_x.granularity() != Granularity::PerTensor {
        return Err(Error::value(op, "activations must have one scale for the whole tensor"));
    }
    if let Some(z) = q_w.zero_points().iter().find(|&&z| z != 0) {
        return Err(Error::value(op, format!("weights must have zero_point 0, got {z}")));
    }
    if q_w.granularity() == Granularity::PerChannel && q_w.scales().len() != outputs {
        let detail = format!("{} weight scales for {outputs} output channels", q_w.scales().len());
        return Err(Error::shape(op, detail));
    }
    // book: product_scales
    let s_x = f64::from(q_x.scales()[0]);
    Ok((0..outputs).map(|o| s_x * f64::from(q_w.channel(o).0)).collect())
    // book end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_to_even_and_not_beyond_what_f64_holds() {
        let b = [0.5, 1.5, 2.5, -0.5, -1.5, 0.7, -0.7, 0.2];
        assert_eq!(quantize_bias(&b, &[1.0; 8]).unwrap(), [0, 2, 2, 0, -2, 1, -1, 0]);
        assert_eq!(quantize_bias(&[3.0, 3.0], &[2.0, 0.25]).unwrap(), [2, 12]);
        let largest = (1i64 << 53) as f32;
        assert_eq!(quantize_bias(&[largest, -largest], &[1.0; 2]).unwrap(), [1 << 53, -(1 << 53)]);
        for b in [largest * 1.001, f32::NAN, f32::INFINITY] {
            let error = quantize_bias(&[0.0, b], &[1.0; 2]).unwrap_err().to_string();
            assert!(error.contains("channel 1"), "{error}");
        }
        assert!(quantize_bias(&[0.0], &[1.0; 2]).unwrap_err().to_string().contains("1 biases but 2 scales"));
    }
}
