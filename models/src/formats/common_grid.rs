//! Grids in the convention that other programs share: PyTorch, ONNX, gemmlowp.
//!
//! ```text
//! here     x_int = clip( round(x / s) - z; qmin, qmax )      x_hat = s (x_int + z)
//! there    x_int = clip( round(x / s) + Z; qmin, qmax )      x_hat = s (x_int - Z)        Z = -z
//! ```
//!
//! Every exported zero point comes from [`CommonGrid::of`], the one place of the export where the sign changes. The codes
//! themselves are the same in both conventions.

use quant::numbers::uniform::zero_point_to_common;
use quant::{Granularity, Grid, IntTensor, QParams, linear_quantize, quantize_bias};

use super::layout;
use crate::{QuantizedNetwork, Result};

/// What takes numbers to codes and back, in the common convention.
#[derive(Clone, Debug, PartialEq)]
pub struct CommonGrid {
    /// `s`: one, or one for each index of axis 0.
    pub scale: Vec<f32>,
    /// `Z`, the code of real zero: as many as scales.
    pub zero_point: Vec<i32>,
    /// The codes.
    pub grid: Grid,
    /// What one scale is shared by.
    pub granularity: Granularity,
}

impl CommonGrid {
    /// The same grid as `q`, its zero points with the other sign.
    pub fn of(q: &QParams) -> Self {
        Self {
            scale: q.scales().to_vec(),
            zero_point: q.zero_points().iter().map(|&z| zero_point_to_common(z)).collect(),
            grid: q.grid(),
            granularity: q.granularity(),
        }
    }

    /// `s (x_int - Z)` of index `channel` of axis 0, in `f32` as the other programs compute it.
    pub fn restore(&self, x_int: i32, channel: usize) -> f32 {
        let i = if self.granularity == Granularity::PerChannel { channel } else { 0 };
        self.scale[i] * (x_int - self.zero_point[i]) as f32
    }
}

/// A quantized layer as other programs take it.
#[derive(Clone, Debug)]
pub struct CommonLayer {
    /// Of what enters.
    pub input: CommonGrid,
    /// Of the weight.
    pub weight: CommonGrid,
    /// The weight's codes in PyTorch's layout.
    pub w_int: IntTensor<i16>,
    /// The bias' codes (eq 8), if there is a bias.
    pub b_int: Option<Vec<i64>>,
    /// `s_x s_w` of each output channel: the bias' scales.
    pub bias_scale: Vec<f32>,
}

impl CommonLayer {
    /// `s_w w_int` in PyTorch's order.
    pub fn restored_weight(&self) -> Vec<f32> {
        let row = self.w_int.data().len() / self.w_int.dims()[0];
        let codes = self.w_int.data().iter().enumerate();
        codes.map(|(i, &w)| self.weight.restore(i32::from(w), i / row)).collect()
    }

    /// `s_x s_w b_int`.
    pub fn restored_bias(&self) -> Option<Vec<f32>> {
        let restore = |(&b, &s): (&i64, &f32)| (b as f64 * f64::from(s)) as f32;
        Some(self.b_int.as_ref()?.iter().zip(&self.bias_scale).map(restore).collect())
    }
}

impl QuantizedNetwork {
    /// The layer in the common convention; `None` if it stays float.
    ///
    /// # Errors
    /// If it has no weight or no range, or its numbers have no codes.
    pub fn common_layer(&self, layer: &str) -> Result<Option<CommonLayer>> {
        let Some(widths) = self.quantization.plan.get(layer) else { return Ok(None) };
        let w = self.network.params.get(&format!("{layer}.weight"))?;
        let q_x = self.quantization.ranges.params(layer, widths.a)?;
        let q_w = self.quantization.weight_params(layer, w, widths.w)?;
        let w_int = linear_quantize::<i16>(&layout::to_torch(w.clone()), &q_w)?;
        let s_x = f64::from(q_x.scales()[0]);
        let scales: Vec<f64> = (0..w.dims()[0]).map(|o| s_x * f64::from(q_w.channel(o).0)).collect();
        let bias = self.network.params.get(&format!("{layer}.bias")).ok();
        let b_int = bias.map(|b| quantize_bias(b.data(), &scales)).transpose()?;
        Ok(Some(CommonLayer {
            input: CommonGrid::of(&q_x),
            weight: CommonGrid::of(&q_w),
            w_int,
            b_int,
            bias_scale: scales.iter().map(|&s| s as f32).collect(),
        }))
    }

    /// The grid of what enters the residual sum or pool `node`, in the common convention; `None` if it stays float.
    ///
    /// # Errors
    /// If it has no range.
    pub fn common_activation(&self, node: &str) -> Result<Option<CommonGrid>> {
        let Some(bits) = self.quantization.plan.activation(node) else { return Ok(None) };
        Ok(Some(CommonGrid::of(&self.quantization.ranges.params(node, bits)?)))
    }
}

#[cfg(test)]
mod tests {
    use quant::numbers::uniform::{quantize_value, restore_value};

    use super::*;

    #[test]
    fn codes_and_restored_values_are_the_same_in_both_conventions() {
        let (s, z) = (0.25, -3);
        let q = QParams::per_tensor(Grid::unsigned(4).unwrap(), s, z).unwrap();
        let common = CommonGrid::of(&q);
        assert_eq!(common.zero_point, [3]);
        for x in [-9.0, -0.75, -0.1, 0.0, 0.125, 1.3, 7.0_f32] {
            let code = quantize_value(x, s, z, q.grid()).unwrap();
            let there = ((x / s).round_ties_even() as i32 + common.zero_point[0]).clamp(0, 15);
            assert_eq!(code, there, "{x}");
            assert_eq!(common.restore(code, 0), restore_value(code, s, z), "{x}");
        }
        assert_eq!(common.restore(3, 0), 0.0, "real zero has the code Z");
    }
}
