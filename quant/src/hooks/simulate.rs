//! The integer layers simulated in floats, rounded where they round and nowhere else.
//!
//! Eq 6 takes the scales out of the sum:
//!
//! ```text
//! sum (s_x (x_int + z_x)) (s_w w_int)   =   s_x s_w  sum (x_int + z_x) w_int
//! ```
//!
//! Training computes the left side ([`FakeQuantHook`](crate::FakeQuantHook)): products of restored numbers, every partial
//! sum rounded to 24 bits. A result that should lie on a tie of the next layer's rounding may fall to either side of
//! it; at 2 bits such a flip is a third of the range, and a network that survives only just carries it to the logits.
//! This hook computes the right side, with ordinary float convolutions of the *codes* as floats: exact, in any
//! order of summation, as long as no partial sum exceeds `2^24`, and scaled once at the end. That is not so for
//! 16-bit activations, where sums are rounded, but a step is small.

use std::collections::HashMap;

use engine::fast::{self, Algorithm};
use engine::{Error, Hook, Incoming, Layer, Node, Result, Tape, Tensor, Var, ops};
use rayon::prelude::*;

use super::prepared::PreparedLayer;
use super::quantized_activation;
use crate::training::fake_quantize::codes;
use crate::{Quantization, Widths};

/// Simulates every layer that the plan quantizes. The weights are taken to stay as they are: they are quantized when
/// a layer is met first. Any width from 1 to 16 bits; no gradients.
pub struct SimulateHook {
    quantization: Quantization,
    layers: HashMap<String, SimulatedLayer>,
}

/// A layer ready to run.
struct SimulatedLayer {
    prepared: PreparedLayer,
    /// The codes of the weights, as floats.
    w: Tensor,
}

impl SimulateHook {
    /// The hook of a calibrated network.
    pub fn new(quantization: &Quantization) -> Self {
        Self { quantization: quantization.clone(), layers: HashMap::new() }
    }

    fn prepare(&self, node: &Node, widths: Widths, w: &Tensor, b: Option<&Tensor>) -> Result<SimulatedLayer> {
        let prepared = PreparedLayer::new(&self.quantization, node, widths, w, b)?;
        Ok(SimulatedLayer { w: codes(w, &prepared.q_w)?, prepared })
    }
}

impl SimulatedLayer {
    fn run(&self, layer: Layer, x: &Tensor) -> Result<Tensor> {
        let PreparedLayer { q_x, scales, b_int, .. } = &self.prepared;
        let mut tape = Tape::inference();
        let (x, w) = (tape.leaf(codes(x, q_x)?, false), tape.leaf(self.w.clone(), false));
        let y = match layer {
            Layer::Conv2d { stride, padding, .. } => {
                fast::conv2d(&mut tape, Algorithm::default(), x, w, None, [stride, padding])?
            }
            _ => {
                let zero = tape.leaf(Tensor::zeros([scales.len()]), false);
                ops::linear(&mut tape, x, w, zero)?
            }
        };
        let mut y = tape.take(y);
        let channels = scales.len();
        y.data_mut().par_chunks_mut(channels * 1024).for_each(|y| {
            for row in y.chunks_mut(channels) {
                for (channel, y) in row.iter_mut().enumerate() {
                    let b = b_int.as_ref().map_or(0.0, |b| b[channel] as f64);
                    *y = (scales[channel] * (f64::from(*y) + b)) as f32;
                }
            }
        });
        Ok(y)
    }
}

impl Hook for SimulateHook {
    fn compute(&mut self, node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Option<Tensor>> {
        let Some(widths) = self.quantization.plan.get(&node.name) else { return Ok(None) };
        let in_layer = |e: Error| Error::value("simulate", format!("layer `{}`: {e}", node.name));
        if !self.layers.contains_key(&node.name) {
            let layer = self.prepare(node, widths, w, b).map_err(in_layer)?;
            self.layers.insert(node.name.clone(), layer);
        }
        self.layers[&node.name].run(node.layer, x).map(Some).map_err(in_layer)
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        quantized_activation(&self.quantization, tape, node, x.var)
    }
}
