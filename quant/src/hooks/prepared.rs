//! A layer made ready to run, once: what the integer layers and their simulation have in common.

use engine::{Node, Result, Tensor};

use crate::integer::weights::product_scales;
use crate::{QParams, Quantization, Widths, quantize_bias};

/// The quantizers of a layer's input and weight, and what follows from them.
pub(super) struct PreparedLayer {
    pub(super) q_x: QParams,
    pub(super) q_w: QParams,
    /// `s_x s_w` of each output channel.
    pub(super) scales: Vec<f64>,
    /// The bias in steps of `s_x s_w`.
    pub(super) b_int: Option<Vec<i64>>,
}

impl PreparedLayer {
    /// The layer `node` with weight `w` and bias `b`, at `widths`.
    ///
    /// # Errors
    /// If it has no range, or its numbers have no integers.
    pub(super) fn new(
        quantization: &Quantization,
        node: &Node,
        widths: Widths,
        w: &Tensor,
        b: Option<&Tensor>,
    ) -> Result<Self> {
        let q_x = quantization.ranges.params(&node.name, widths.a)?;
        let q_w = quantization.weight_params(&node.name, w, widths.w)?;
        let scales = product_scales("quantized layer", &q_x, &q_w, w.dims()[0])?;
        let b_int = b.map(|b| quantize_bias(b.data(), &scales)).transpose()?;
        Ok(Self { q_x, q_w, scales, b_int })
    }
}
