//! Fake quantization: the network that learns under rounding, and its evaluation in floats.

use std::collections::{BTreeMap, HashMap};

use engine::{Graph, Hook, Incoming, Input, LayerQuant, Node, Operands, Params, Result, Tape, Tensor, Var};

use super::in_layer;
use crate::integer::bias::product_scales;
use crate::observer::sampling_stride;
use crate::training::fake_quantize::{FakeQuantizeInput, fake_quantize_bias_on, fake_quantize_on};
use crate::training::freezing::Oscillations;
use crate::{
    Grid, LearnedSteps, LearnedWidths, MovingAverage, Observer, QParams, Quantization, Range, ScaleRule,
    StepRule, Widths,
};

/// Fake quantization of inputs and weights: post-training evaluation and, with gradients, quantization-aware
/// training.
#[derive(Clone, Debug)]
pub struct FakeQuantHook {
    /// Widths, rules, and the ranges, which move in training.
    pub quantization: Quantization,
    /// Steps that are learned.
    pub steps: LearnedSteps,
    /// Widths of weights that are learned.
    pub widths: LearnedWidths,
    /// Whether each batch updates the ranges. Set for training, clear for evaluation.
    pub training: bool,
    /// How the codes of weights have moved, by layer, where those that jump to and fro are frozen (9k).
    pub oscillations: BTreeMap<String, Oscillations>,
    /// How far the learning rate has fallen, from 0 to 1: damping (9h) grows with it, and what freezes (9k) falls.
    pub progress: f32,
    /// The spread that each layer's weights are normalised to, where they are (9g).
    pub(super) spreads: BTreeMap<String, f32>,
    /// The weight quantizers of this evaluation, by layer.
    weights: HashMap<String, QParams>,
}

impl FakeQuantHook {
    /// The hook for training (each batch updates the ranges and recomputes the weight scales) or evaluation
    /// (ranges stay; weights are taken to stay too, and their scales are computed once).
    pub fn new(mut quantization: Quantization, training: bool) -> Self {
        if training && quantization.config.weight_step == StepRule::Rule {
            quantization.weight_scales.clear();
        }
        Self {
            quantization,
            steps: LearnedSteps::default(),
            widths: LearnedWidths::default(),
            oscillations: BTreeMap::new(),
            training,
            progress: 0.0,
            spreads: BTreeMap::new(),
            weights: HashMap::new(),
        }
    }

    /// The quantizer of a weight; in evaluation, remembered until the next training pass.
    fn weight_params(&mut self, node: &Node, w: &Tensor, bits: u32) -> Result<QParams> {
        if self.training {
            self.weights.clear();
        } else if let Some(q) = self.weights.get(&node.name) {
            return Ok(q.clone());
        }
        let q = self.quantization.weight_params(&node.name, w, bits)?;
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
        self.quantization.ranges.params(&node.name, bits)
    }

    /// Moves the range of `node`'s input towards that of this batch; the first batch sets it.
    fn update(&mut self, node: &Node, tape: &Tape, x: Incoming, bits: u32) -> Result<()> {
        let values = tape.value(x.var);
        let known = x.range.filter(|range| range.iter().all(|v| v.is_finite()));
        let range = match known {
            Some([min, max]) => Some(Range { min, max }),
            None => Range::of(values.data())?,
        };
        let Some(range) = range else { return Ok(()) };
        let batch = batch_range(values, range, self.quantization.config.activation_rule, bits)?;
        let slot = self.quantization.ranges.0.get(&node.name).copied();
        let mut average = MovingAverage::new(self.quantization.config.decay, slot);
        average.update(batch);
        self.quantization.ranges.0.extend(average.range().map(|range| (node.name.clone(), range)));
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
        let w = self.normalized(tape, node, w).map_err(|e| in_layer(node, e))?;
        let learned = self.learned_input(tape, node, x.var).map_err(|e| in_layer(node, e))?;
        let q_x = match learned {
            Some(_) => self.quantization.ranges.params(&node.name, widths.a)?,
            None => self.input_params(tape, node, x, widths.a)?,
        };
        let (weight, q_w) = self.weight(tape, node, w, widths.w).map_err(|e| in_layer(node, e))?;
        let weight = self.damped(tape, w, weight, &q_w);
        let bias = b.map(|b| {
            let scales = product_scales("bias", &q_x, &q_w, tape.value(b).len())?;
            fake_quantize_bias_on(tape, b, &scales).map_err(|e| in_layer(node, e))
        });
        let bias = bias.transpose()?;
        let input = match learned {
            Some(x) => Input::Value(x), // its step wants a place on the tape
            None => Input::Map(Box::new(FakeQuantizeInput::new(
                &node.name,
                q_x,
                self.quantization.config.activation_ste,
            )?)),
        };
        Ok(LayerQuant { input, weight, bias })
    }

    /// The weight `w` rounded, with a learned step, a learned width, or neither, and its quantizer.
    fn weight(&mut self, tape: &mut Tape, node: &Node, w: Var, bits: u32) -> Result<(Var, QParams)> {
        if let Some(chosen) = self.chosen_weight(tape, node, w)? {
            return Ok(chosen);
        }
        match self.learned_weight(tape, node, w, bits)? {
            Some(learned) => Ok(learned),
            None => self.ruled_weight(tape, node, w, bits),
        }
    }

    /// The weight `w` under the scale that the rule chooses, and its quantizer.
    pub(super) fn ruled_weight(
        &mut self,
        tape: &mut Tape,
        node: &Node,
        w: Var,
        bits: u32,
    ) -> Result<(Var, QParams)> {
        let q = self.weight_params(node, tape.value(w), bits)?;
        Ok((fake_quantize_on(tape, w, &q, self.quantization.config.weight_ste)?, q))
    }
}

impl Hook for FakeQuantHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let Some(widths) = self.quantization.plan.get(&node.name) else { return Ok(operands.into()) };
        self.quantized(tape, node, operands, widths)
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        let Some(bits) = self.quantization.plan.activation(&node.name) else { return Ok(x.var) };
        let q = self.input_params(tape, node, x, bits)?;
        fake_quantize_on(tape, x.var, &q, self.quantization.config.activation_ste)
            .map_err(|e| in_layer(node, e))
    }

    fn learn(&mut self, tape: &Tape, rate: f32) -> Result<()> {
        self.steps.learn(tape, rate, self.quantization.config.step_domain);
        self.widths.learn(tape, rate);
        Ok(())
    }

    fn updated(&mut self, graph: &Graph, params: &mut Params) -> Result<()> {
        self.freeze(graph, params)
    }
}

/// Values of a batch that a scale rule other than the maximum looks at: every k-th, at most about this many.
const SAMPLED: usize = 1 << 16;

/// What a batch of this `range` is to be covered with by `rule`: the range itself if something is negative or the rule
/// is the maximum, else from 0 to the clipping value.
fn batch_range(x: &Tensor, range: Range, rule: ScaleRule, bits: u32) -> Result<Range> {
    if rule == ScaleRule::SYMMETRIC || range.min < 0.0 || range.max <= 0.0 {
        return Ok(range);
    }
    let stride = sampling_stride(x.len(), SAMPLED, x.shape().last());
    let sample: Vec<f32> = x.data().iter().copied().step_by(stride).collect();
    let grid = Grid::unsigned(bits)?;
    Ok(Range::of_step(rule.scale(&sample, grid)?, grid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_channel_of_a_large_batch_is_looked_at() {
        for channels in [16, 32, 64] {
            let x = Tensor::from_fn([1 << 17, channels], |i| (i % channels) as f32);
            let range = Range { min: 0.0, max: (channels - 1) as f32 };
            let found = batch_range(&x, range, ScaleRule::HEURISTIC, 8).unwrap();
            assert!((found.max / range.max - 1.0).abs() < 0.05, "{channels}: {found:?}");
        }
    }
}
