//! The integer layers simulated in floats, rounded where they round and nowhere else.
//!
//! Eq 6 takes the scales out of the sum:
//!
//! ```text
//! sum (s_x (x_int + z_x)) (s_w w_int)   =   s_x s_w  sum (x_int + z_x) w_int        (8a)
//! ```
//!
//! Training computes the left side ([`FakeQuantHook`](crate::FakeQuantHook)): products of restored numbers, every partial
//! sum rounded to 24 bits. A result that should lie on a tie of the next layer's rounding may fall to either side of
//! it; at 2 bits such a flip is a third of the range, and a network that survives only just carries it to the logits.
//! This hook computes the right side, with ordinary float convolutions of the *codes* as floats: exact, in any
//! order of summation, as long as no partial sum exceeds `2^24` (8b), and scaled once at the end. That is not so for
//! 16-bit activations, where sums are rounded, but a step is small.

use std::collections::HashMap;

use engine::fast::{self, Algorithm};
use engine::{Error, Hook, Incoming, Layer, Node, Result, Tape, Tensor, Var, ops};
use rayon::prelude::*;

use crate::fake_quantize::codes;
use crate::hook::quantized_edge;
use crate::integer::bias::product_scales;
use crate::{Plan, QParams, QuantConfig, Ranges, Widths, quantize_bias};

/// Simulates every layer that the plan quantizes. The weights are taken to stay as they are: they are quantized when
/// a layer is met first. Any width from 1 to 16 bits; no gradients.
pub struct SimulateHook {
    config: QuantConfig,
    plan: Plan,
    ranges: Ranges,
    layers: HashMap<String, SimulatedLayer>,
}

/// A layer ready to run.
struct SimulatedLayer {
    q_x: QParams,
    /// The codes of the weights, as floats.
    w: Tensor,
    /// `s_x s_w` of each output channel.
    scales: Vec<f64>,
    b_int: Option<Vec<i64>>,
}

impl SimulateHook {
    /// The hook of a calibrated network.
    pub fn new(config: QuantConfig, plan: Plan, ranges: Ranges) -> Self {
        Self { config, plan, ranges, layers: HashMap::new() }
    }

    fn prepare(&self, node: &Node, widths: Widths, w: &Tensor, b: Option<&Tensor>) -> Result<SimulatedLayer> {
        let q_x = self.ranges.params(&node.name, widths.a)?;
        let q_w = self.config.weight_params(&node.name, w, widths.w)?;
        let scales = product_scales("simulated layer", &q_x, &q_w, w.dims()[0])?;
        let b_int = b.map(|b| quantize_bias(b.data(), &scales)).transpose()?;
        Ok(SimulatedLayer { q_x, w: codes(w, &q_w)?, scales, b_int })
    }
}

impl SimulatedLayer {
    fn run(&self, layer: Layer, x: &Tensor) -> Result<Tensor> {
        let mut tape = Tape::inference();
        let (x, w) = (tape.leaf(codes(x, &self.q_x)?, false), tape.leaf(self.w.clone(), false));
        let y = match layer {
            Layer::Conv2d { stride, padding, .. } => {
                fast::conv2d(&mut tape, Algorithm::default(), x, w, None, [stride, padding])?
            }
            _ => {
                let zero = tape.leaf(Tensor::zeros([self.scales.len()]), false);
                ops::linear(&mut tape, x, w, zero)?
            }
        };
        let mut y = tape.take(y);
        let channels = self.scales.len();
        y.data_mut().par_chunks_mut(channels * 1024).for_each(|y| {
            for row in y.chunks_mut(channels) {
                for (channel, y) in row.iter_mut().enumerate() {
                    // book: scaled
                    let b = self.b_int.as_ref().map_or(0.0, |b| b[channel] as f64);
                    *y = (self.scales[channel] * (f64::from(*y) + b)) as f32;
                    // book end
                }
            }
        });
        Ok(y)
    }
}

impl Hook for SimulateHook {
    fn compute(&mut self, node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Option<Tensor>> {
        let Some(widths) = self.plan.get(&node.name) else { return Ok(None) };
        let in_layer = |e: Error| Error::value("simulate", format!("layer `{}`: {e}", node.name));
        if !self.layers.contains_key(&node.name) {
            let layer = self.prepare(node, widths, w, b).map_err(in_layer)?;
            self.layers.insert(node.name.clone(), layer);
        }
        self.layers[&node.name].run(node.layer, x).map(Some).map_err(in_layer)
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        quantized_edge(&self.plan, &self.ranges, tape, node, x.var)
    }
}
