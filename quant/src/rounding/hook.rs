//! A unit while it is learned: what its layers compute with.

use std::collections::HashMap;

use engine::rng::{Purpose, Rng};
use engine::{Hook, Incoming, Input, LayerQuant, Node, Operands, Params, Result, Role, Tape, Tensor, Var};

use super::drop::{Dropped, fake_quantize_dropped_on};
use super::soft::SoftWeight;
use crate::hooks::in_layer;
use crate::integer::bias::product_scales;
use crate::training::fake_quantize::{FakeQuantizeInput, fake_quantize_bias_on, fake_quantize_on};
use crate::training::learned_step::{StepGradient, fake_quantize_learned_on};
use crate::{Grid, QParams, Quantization, Range, Ste};

/// How the weight of a layer is learned.
pub(super) enum Learned {
    /// By its rounding: the parameter is `v`.
    Rounding(SoftWeight),
    /// Freely: the parameter is the weight.
    Free(QParams),
}

/// The hook of one unit.
pub(super) struct UnitHook {
    /// Widths and ranges.
    pub quantization: Quantization,
    /// The weights that are learned, by layer.
    pub weights: HashMap<String, Learned>,
    /// Steps of inputs, by layer: a scalar parameter each, in units of the step they began with.
    pub steps: Params,
    /// The steps that these began with.
    pub first: HashMap<String, f32>,
    /// Whether activations are dropped.
    pub drop: bool,
    /// Seed, number of the unit, iteration: what is dropped.
    pub draw: (u64, usize, usize),
    /// Where steps stand on the tape of this pass.
    placed: Vec<(usize, Var)>,
}

impl UnitHook {
    pub fn new(quantization: Quantization, drop: bool) -> Self {
        let (weights, first) = (HashMap::new(), HashMap::new());
        Self {
            quantization,
            weights,
            steps: Params::default(),
            first,
            drop,
            draw: (0, 0, 0),
            placed: Vec::new(),
        }
    }

    /// Lets the step of `layer`'s input be learned, unless that is signed.
    pub fn learn_step(&mut self, layer: &str, bits: u32) -> Result<()> {
        let (s, z) = self.quantization.ranges.params(layer, bits)?.channel(0);
        if z == 0 {
            self.steps.push(layer, Role::Weight, Tensor::scalar(1.0))?;
            self.first.insert(layer.to_owned(), s);
        }
        Ok(())
    }

    /// The range that the learned step of `layer` covers; `None` if it is not learned.
    pub fn range(&self, layer: &str, bits: u32) -> Result<Option<Range>> {
        let Some(i) = self.steps.index(layer) else { return Ok(None) };
        let s = self.steps[i].value.data()[0] * self.first[layer];
        Ok(Some(Range { min: 0.0, max: s * Grid::unsigned(bits)?.qmax as f32 }))
    }

    /// The gradients of the steps in the pass that `tape` holds, in units of the steps they began with.
    pub fn gradients(&mut self, tape: &Tape) -> Vec<Option<Tensor>> {
        let mut gradients = vec![None; self.steps.len()];
        for (i, var) in self.placed.drain(..) {
            let first = self.first[&self.steps[i].name];
            gradients[i] = tape.grad(var).map(|ds| Tensor::scalar(ds.data()[0] * first));
        }
        gradients
    }

    /// The input `x`, rounded, and its quantizer.
    fn input(&mut self, tape: &mut Tape, node: &Node, x: Var, bits: u32) -> Result<(Input, QParams)> {
        let dropped = self.drop.then(|| {
            let (seed, unit, iteration) = self.draw;
            // A place of its own for each layer of the network.
            let layers = self.quantization.plan.layers();
            let layer = layers.iter().position(|(name, _)| *name == node.name).unwrap_or(0);
            let mut rng = Rng::at(seed, Purpose::Reconstruction, unit, (iteration + 1) * 4096 + layer);
            Dropped::half(&mut rng, tape.value(x).len())
        });
        let learned = self.range(&node.name, bits)?;
        let q = match learned {
            Some(range) => range.params(bits)?,
            None => self.quantization.ranges.params(&node.name, bits)?,
        };
        if q.channel(0).1 != 0 || (learned.is_none() && dropped.is_none()) {
            return Ok((
                Input::Map(Box::new(FakeQuantizeInput::new(&node.name, q.clone(), Ste::Clipped)?)),
                q,
            ));
        }
        let s = tape.leaf(Tensor::scalar(q.channel(0).0), true);
        self.placed.extend(self.steps.index(&node.name).map(|i| (i, s)));
        let x_hat = match dropped {
            Some(dropped) => fake_quantize_dropped_on(tape, x, s, q.grid(), dropped),
            None => fake_quantize_learned_on(tape, x, s, q.grid(), Ste::Clipped, StepGradient::Lsq),
        };
        Ok((Input::Value(x_hat?), q))
    }
}

impl Hook for UnitHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let Some(widths) = self.quantization.plan.get(&node.name) else { return Ok(operands.into()) };
        let (input, q_x) = self.input(tape, node, operands.x.var, widths.a).map_err(|e| in_layer(node, e))?;
        let (weight, q_w) = match &self.weights[&node.name] {
            Learned::Rounding(soft) => (soft.soft_on(tape, operands.w)?, soft.quantizer()),
            Learned::Free(q) => (fake_quantize_on(tape, operands.w, q, Ste::Identity)?, q),
        };
        let bias = operands.b.map(|b| {
            let scales = product_scales("bias", &q_x, q_w, tape.value(b).len())?;
            fake_quantize_bias_on(tape, b, &scales).map_err(|e| in_layer(node, e))
        });
        Ok(LayerQuant { input, weight, bias: bias.transpose()? })
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        let Some(bits) = self.quantization.plan.activation(&node.name) else { return Ok(x.var) };
        let q = self.quantization.ranges.params(&node.name, bits)?;
        fake_quantize_on(tape, x.var, &q, Ste::Clipped).map_err(|e| in_layer(node, e))
    }
}
