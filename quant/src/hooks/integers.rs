//! A network's layers in integers: eq 1 on the way in, eq 6 on the way out.

use std::collections::HashMap;

use engine::{Error, Hook, Incoming, Layer, Node, Result, Tape, Tensor, Var};

use super::prepared::PreparedLayer;
use super::{in_layer, quantized_activation};
use crate::{
    Activation, Code, IntTensor, PackedWeights, Quantization, Widths, linear_quantize, quantized_conv2d,
    quantized_linear,
};

/// Runs every layer that the plan quantizes in integers. The weights are taken to stay as they are: they are
/// quantized and packed when a layer is met first.
pub struct IntegerHook {
    quantization: Quantization,
    layers: HashMap<String, IntegerLayer>,
}

/// A layer ready to run.
struct IntegerLayer {
    prepared: PreparedLayer,
    w: PackedWeights,
}

impl IntegerHook {
    /// The hook of a calibrated network.
    ///
    /// # Errors
    /// If a layer asks for weights of more than 8 bits, which the integer kernels do not take, or has no range.
    pub fn new(quantization: &Quantization) -> Result<Self> {
        let Quantization { plan, ranges, .. } = quantization;
        for (layer, widths) in plan.layers() {
            let Some(widths) = widths else { continue };
            if widths.w > 8 {
                let detail = format!("layer `{layer}` asks for {}-bit weights; at most 8", widths.w);
                return Err(Error::value("integer layers", detail));
            }
        }
        plan.inputs().try_for_each(|(node, bits)| ranges.params(node, bits).map(|_| ()))?;
        Ok(Self { quantization: quantization.clone(), layers: HashMap::new() })
    }

    fn prepare(&self, node: &Node, widths: Widths, w: &Tensor, b: Option<&Tensor>) -> Result<IntegerLayer> {
        let prepared = PreparedLayer::new(&self.quantization, node, widths, w, b)?;
        let w = PackedWeights::pack(linear_quantize::<i8>(w, &prepared.q_w)?)?;
        Ok(IntegerLayer { prepared, w })
    }
}

impl IntegerLayer {
    fn run<X: Activation + Code>(&self, layer: Layer, x: &Tensor) -> Result<Tensor> {
        let PreparedLayer { q_x, q_w, b_int, .. } = &self.prepared;
        let x_int: IntTensor<X> = linear_quantize(x, q_x)?;
        let b_int = b_int.as_deref();
        match layer {
            Layer::Conv2d { stride, padding, .. } => {
                quantized_conv2d(&x_int, q_x, &self.w, q_w, b_int, stride, padding)
            }
            _ => quantized_linear(&x_int, q_x, &self.w, q_w, b_int),
        }
    }
}

impl Hook for IntegerHook {
    fn compute(&mut self, node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Option<Tensor>> {
        let Some(widths) = self.quantization.plan.get(&node.name) else { return Ok(None) };
        if !self.layers.contains_key(&node.name) {
            let layer = self.prepare(node, widths, w, b).map_err(|e| in_layer(node, e))?;
            self.layers.insert(node.name.clone(), layer);
        }
        let layer = &self.layers[&node.name];
        let y = if widths.a <= 8 { layer.run::<u8>(node.layer, x) } else { layer.run::<u16>(node.layer, x) };
        y.map(Some).map_err(|e| in_layer(node, e))
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        quantized_activation(&self.quantization, tape, node, x.var)
    }
}
