//! Quantization of a whole network, as hooks on its graph: calibrate, fake-quantize, run in integers.
//!
//! | hook | input of a layer | weight | arithmetic |
//! |---|---|---|---|
//! | [`CalibrateHook`](crate::CalibrateHook) | observed | as it is | float |
//! | [`FakeQuantHook`] | eq 1 and 3, range updated in training | eq 1 and 3, scale recomputed | float |
//! | [`SimulateHook`](crate::SimulateHook) | eq 1 | eq 1, once | the codes as floats, exact |
//! | [`IntegerHook`] | eq 1 | eq 1, packed once | integers, eq 6 |
//!
//! The last three use the same [`Ranges`], the same weight scales and the same rounded bias. The simulation computes the
//! integers' sums exactly; fake quantization differs from them only in how floats round its sums.

mod learned;

use std::collections::{BTreeMap, HashMap};

use engine::{Error, Hook, Incoming, Input, Layer, LayerQuant, Node, Operands, Result, Tape, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::fake_quantize::{FakeQuantizeInput, fake_quantize_bias_on, fake_quantize_on};
use crate::integer::bias::product_scales;
use crate::{
    Code, IntTensor, LearnedSteps, MovingAverage, Observer, PackedWeights, Plan, QParams, QuantConfig, Range,
    ScaleRule, Ste, StepRule, Widths, linear_quantize, quantize_bias, quantized_conv2d, quantized_linear,
};

/// The range of the activations that enter each quantized layer, by layer name: the state of a quantized
/// network beside its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(pub BTreeMap<String, Range>);

impl Ranges {
    /// The quantizer of the activations that enter `layer`.
    ///
    /// # Errors
    /// If the layer has no range: it was not calibrated.
    pub fn params(&self, layer: &str, bits: u32) -> Result<QParams> {
        match self.0.get(layer) {
            Some(range) => range.params(bits),
            None => Err(Error::Unknown {
                kind: "activation range of layer",
                name: layer.to_owned(),
                hint: "; calibrate first".to_owned(),
            }),
        }
    }
}

/// Fake quantization of inputs and weights: post-training evaluation and, with gradients, quantization-aware
/// training.
#[derive(Clone, Debug)]
pub struct FakeQuantHook {
    /// What is chosen.
    pub config: QuantConfig,
    /// The widths of each layer.
    pub plan: Plan,
    /// The range of each layer's input.
    pub ranges: Ranges,
    /// Steps that are learned.
    pub steps: LearnedSteps,
    /// Whether each batch updates the ranges. Set for training, clear for evaluation.
    pub training: bool,
    /// The weight quantizers of this evaluation, by layer.
    weights: HashMap<String, QParams>,
}

impl FakeQuantHook {
    /// The hook for training (each batch updates the ranges and recomputes the weight scales) or evaluation
    /// (ranges stay; weights are taken to stay too, and their scales are computed once).
    pub fn new(mut config: QuantConfig, plan: Plan, ranges: Ranges, training: bool) -> Self {
        if training && config.weight_step == StepRule::Rule {
            config.fixed_scales.clear();
        }
        Self { config, plan, ranges, steps: LearnedSteps::default(), training, weights: HashMap::new() }
    }

    /// The quantizer of a weight; in evaluation, remembered until the next training pass.
    fn weight_params(&mut self, node: &Node, w: &Tensor, bits: u32) -> Result<QParams> {
        if self.training {
            self.weights.clear();
        } else if let Some(q) = self.weights.get(&node.name) {
            return Ok(q.clone());
        }
        let q = self.config.weight_params(&node.name, w, bits)?;
        if !self.training {
            self.weights.insert(node.name.clone(), q.clone());
        }
        Ok(q)
    }

    /// The quantizer of `node`'s input `x`.
    fn input_params(&mut self, tape: &Tape, node: &Node, x: Incoming, bits: u32) -> Result<QParams> {
        if self.training {
            self.update(node, tape, x, bits).map_err(|e| in_layer(node, e))?;
        }
        self.ranges.params(&node.name, bits)
    }

    /// Moves the range of `node`'s input towards that of this batch; the first batch sets it.
    fn update(&mut self, node: &Node, tape: &Tape, x: Incoming, bits: u32) -> Result<()> {
        let values = tape.value(x.var).data();
        let known = x.range.filter(|range| range.iter().all(|v| v.is_finite()));
        let range = match known {
            Some([min, max]) => Some(Range { min, max }),
            None => Range::of(values)?,
        };
        let Some(range) = range else { return Ok(()) };
        let batch = batch_range(values, range, self.config.activation_rule, bits)?;
        let slot = self.ranges.0.get(&node.name).copied();
        let mut average = MovingAverage::new(self.config.decay, slot);
        average.update(batch);
        self.ranges.0.extend(average.range().map(|range| (node.name.clone(), range)));
        Ok(())
    }

    /// The layer in fake quantization: its input by `q_x`, its weight by `q_w`, its bias by both.
    fn quantized(
        &mut self,
        tape: &mut Tape,
        node: &Node,
        layer: Operands,
        widths: Widths,
    ) -> Result<LayerQuant> {
        let Operands { x, w, b } = layer;
        let learned = self.learned_input(tape, node, x.var).map_err(|e| in_layer(node, e))?;
        let q_x = match learned {
            Some(_) => self.ranges.params(&node.name, widths.a)?,
            None => self.input_params(tape, node, x, widths.a)?,
        };
        let (weight, q_w) = match self.learned_weight(tape, node, w, widths.w) {
            Ok(Some(learned)) => learned,
            Ok(None) => self.ruled_weight(tape, node, w, widths.w).map_err(|e| in_layer(node, e))?,
            Err(e) => return Err(in_layer(node, e)),
        };
        let bias = b.map(|b| {
            let scales = product_scales("bias", &q_x, &q_w, tape.value(b).len())?;
            fake_quantize_bias_on(tape, b, &scales).map_err(|e| in_layer(node, e))
        });
        let bias = bias.transpose()?;
        let input = match learned {
            Some(x) => Input::Value(x), // its step wants a place on the tape
            None => {
                Input::Map(Box::new(FakeQuantizeInput::new(&node.name, q_x, self.config.activation_ste)?))
            }
        };
        Ok(LayerQuant { input, weight, bias })
    }

    /// The weight `w` under the scale that the rule chooses, and its quantizer.
    fn ruled_weight(&mut self, tape: &mut Tape, node: &Node, w: Var, bits: u32) -> Result<(Var, QParams)> {
        let q = self.weight_params(node, tape.value(w), bits)?;
        Ok((fake_quantize_on(tape, w, &q, self.config.weight_ste)?, q))
    }
}

impl Hook for FakeQuantHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let Some(widths) = self.plan.get(&node.name) else { return Ok(operands.into()) };
        self.quantized(tape, node, operands, widths)
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        let Some(bits) = self.plan.edge(&node.name) else { return Ok(x.var) };
        let q = self.input_params(tape, node, x, bits)?;
        fake_quantize_on(tape, x.var, &q, self.config.activation_ste).map_err(|e| in_layer(node, e))
    }

    fn learn(&mut self, tape: &Tape, rate: f32) -> Result<()> {
        self.steps.learn(tape, rate);
        Ok(())
    }
}

/// Values of a batch that a scale rule other than the maximum looks at: every k-th, at most this many.
const SAMPLED: usize = 1 << 16;

/// What a batch of this `range` is to be covered with by `rule`: the range itself if something is negative or the rule
/// is the maximum, else from 0 to the clipping value.
fn batch_range(x: &[f32], range: Range, rule: ScaleRule, bits: u32) -> Result<Range> {
    if rule == ScaleRule::SYMMETRIC || range.min < 0.0 || range.max <= 0.0 {
        return Ok(range);
    }
    let sample: Vec<f32> = x.iter().copied().step_by(x.len().div_ceil(SAMPLED)).collect();
    let grid = crate::Grid::unsigned(bits)?;
    Ok(Range { min: 0.0, max: rule.scale(&sample, grid)? * grid.qmax as f32 })
}

/// Runs every layer that the plan quantizes in integers. The weights are taken to stay as they are: they are
/// quantized and packed when a layer is met first.
pub struct IntegerHook {
    config: QuantConfig,
    plan: Plan,
    ranges: Ranges,
    layers: HashMap<String, IntegerLayer>,
}

/// A layer ready to run.
struct IntegerLayer {
    q_x: QParams,
    q_w: QParams,
    w: PackedWeights,
    b_int: Option<Vec<i64>>,
}

impl IntegerHook {
    /// The hook of a calibrated network.
    ///
    /// # Errors
    /// If a layer asks for weights of more than 8 bits, which the integer kernels do not take, or has no range.
    pub fn new(config: QuantConfig, plan: Plan, ranges: Ranges) -> Result<Self> {
        for (layer, widths) in plan.layers() {
            let Some(widths) = widths else { continue };
            if widths.w > 8 {
                let detail = format!("layer `{layer}` asks for {}-bit weights; at most 8", widths.w);
                return Err(Error::value("integer layers", detail));
            }
        }
        plan.inputs().try_for_each(|(node, bits)| ranges.params(node, bits).map(|_| ()))?;
        Ok(Self { config, plan, ranges, layers: HashMap::new() })
    }

    fn prepare(&self, node: &Node, widths: Widths, w: &Tensor, b: Option<&Tensor>) -> Result<IntegerLayer> {
        let q_x = self.ranges.params(&node.name, widths.a)?;
        let q_w = self.config.weight_params(&node.name, w, widths.w)?;
        let w = PackedWeights::pack(linear_quantize::<i8>(w, &q_w)?)?;
        let scales = product_scales("integer layer", &q_x, &q_w, w.outputs())?;
        let b_int = b.map(|b| quantize_bias(b.data(), &scales)).transpose()?;
        Ok(IntegerLayer { q_x, q_w, w, b_int })
    }
}

impl IntegerLayer {
    fn run<X: crate::Activation + Code>(&self, layer: Layer, x: &Tensor) -> Result<Tensor> {
        let x_int: IntTensor<X> = linear_quantize(x, &self.q_x)?;
        let b_int = self.b_int.as_deref();
        match layer {
            Layer::Conv2d { stride, padding, .. } => {
                quantized_conv2d(&x_int, &self.q_x, &self.w, &self.q_w, b_int, stride, padding)
            }
            _ => quantized_linear(&x_int, &self.q_x, &self.w, &self.q_w, b_int),
        }
    }
}

impl Hook for IntegerHook {
    fn compute(&mut self, node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Option<Tensor>> {
        let Some(widths) = self.plan.get(&node.name) else { return Ok(None) };
        if !self.layers.contains_key(&node.name) {
            let layer = self.prepare(node, widths, w, b).map_err(|e| in_layer(node, e))?;
            self.layers.insert(node.name.clone(), layer);
        }
        let layer = &self.layers[&node.name];
        let y = if widths.a <= 8 { layer.run::<u8>(node.layer, x) } else { layer.run::<u16>(node.layer, x) };
        y.map(Some).map_err(|e| in_layer(node, e))
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        quantized_edge(&self.plan, &self.ranges, tape, node, x.var)
    }
}

/// Eq 1 and 3 for what enters a residual sum or a pool, where the plan quantizes it; without a gradient.
pub(crate) fn quantized_edge(
    plan: &Plan,
    ranges: &Ranges,
    tape: &mut Tape,
    node: &Node,
    x: Var,
) -> Result<Var> {
    let Some(bits) = plan.edge(&node.name) else { return Ok(x) };
    let q = ranges.params(&node.name, bits)?;
    fake_quantize_on(tape, x, &q, Ste::Identity).map_err(|e| in_layer(node, e))
}

/// Says in which layer an error arose.
pub(crate) fn in_layer(node: &Node, error: Error) -> Error {
    Error::value("quantize", format!("layer `{}`: {error}", node.name))
}
