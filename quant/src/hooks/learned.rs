//! Learned steps and widths in [`FakeQuantHook`]: they stand on the tape like weights, and become ranges, fixed scales and
//! whole numbers of bits when training is over.

use engine::{Error, Node, Result, Tape, Tensor, Var};

use super::FakeQuantHook;
use crate::training::learned_step::{fake_quantize_learned_on, gradient_scale};
use crate::{Granularity, Grid, QParams, Quantization, Range, Widths};

impl FakeQuantHook {
    /// Widths, rules and ranges as they stand, for evaluation: learned steps (their averages) have become ranges and
    /// fixed weight scales, learned widths whole numbers of bits.
    pub fn learned(&self) -> Quantization {
        let mut learned = self.quantization.clone();
        for (layer, w) in self.widths.rounded() {
            let widths = learned.plan.get(layer).map(|widths| Widths { w, ..widths });
            learned.plan.set(layer, widths).expect("widths are learned of the plan's layers");
        }
        for (name, steps) in &self.steps.steps {
            let averages: Vec<f32> = steps.iter().map(|step| step.average).collect();
            match name.strip_suffix(".weight") {
                Some(layer) => _ = learned.weight_scales.insert(layer.to_owned(), averages),
                None => {
                    let bits = learned.plan.get(name).map_or(8, |widths| widths.a);
                    let range = averages.first().and_then(|&s| range_of_step(s, bits).ok());
                    learned.ranges.0.extend(range.map(|range| (name.clone(), range)));
                }
            }
        }
        learned
    }

    /// The input `x` of `node` under a learned step; `None` if its step is not learned (nor can be: a signed input).
    pub(super) fn learned_input(&mut self, tape: &mut Tape, node: &Node, x: Var) -> Result<Option<Var>> {
        let (Some(Widths { a, .. }), Some(gradient)) =
            (self.quantization.plan.get(&node.name), self.quantization.config.activation_step.gradient())
        else {
            return Ok(None);
        };
        let calibrated = self.quantization.ranges.params(&node.name, a)?;
        if !self.training || calibrated.channel(0).1 != 0 {
            return Ok(None);
        }
        let values = self.steps.values(&node.name, || Ok(vec![calibrated.scales()[0]]))?;
        let &[value] = &values[..] else { return Err(not_so_many(&node.name, values.len())) };
        // Through the range, as evaluation takes it: the two differ in the last bit otherwise.
        let range = range_of_step(value, a)?;
        let (value, grid) = (range.params(a)?.scales()[0], Grid::unsigned(a)?);
        self.quantization.ranges.0.insert(node.name.clone(), range);
        let values = tape.value(x).len() / tape.value(x).dims()[0].max(1);
        let s = self.steps.place(tape, &node.name, Tensor::scalar(value), gradient_scale(values, grid));
        fake_quantize_learned_on(tape, x, s, grid, self.quantization.config.activation_ste, gradient)
            .map(Some)
    }

    /// The weight `w` of `node` under a learned step, or one for each output channel, and its quantizer; `None` if its step is not
    /// learned.
    pub(super) fn learned_weight(
        &mut self,
        tape: &mut Tape,
        node: &Node,
        w: Var,
        bits: u32,
    ) -> Result<Option<(Var, QParams)>> {
        let learns = self.training && bits > 0; // no bits, no step
        let Some(gradient) = self.quantization.config.weight_step.gradient().filter(|_| learns) else {
            return Ok(None);
        };
        let (name, value) = (format!("{}.weight", node.name), tape.value(w));
        let first = || Ok(self.quantization.weight_params(&node.name, value, bits)?.scales().to_vec());
        let steps = self.steps.values(&name, first)?;
        let q = self.quantization.fixed_params(&node.name, &steps, value.dims()[0], bits)?;
        let gradient_scale = gradient_scale(value.len() / steps.len(), q.grid());
        let steps = match q.granularity() {
            Granularity::PerTensor => Tensor::scalar(steps[0]),
            Granularity::PerChannel => Tensor::from_vec([steps.len()], steps)?,
        };
        let s = self.steps.place(tape, &name, steps, gradient_scale);
        let ste = self.quantization.config.weight_ste;
        let w = fake_quantize_learned_on(tape, w, s, q.grid(), ste, gradient)?;
        Ok(Some((w, q)))
    }

    /// The weight `w` of `node` under a learned width (6k), and the finer of its two quantizers; `None` if its width is not
    /// learned.
    pub(super) fn chosen_weight(
        &mut self,
        tape: &mut Tape,
        node: &Node,
        w: Var,
    ) -> Result<Option<(Var, QParams)>> {
        let Some(width) = self.widths.widths.get(&node.name).filter(|_| self.training) else {
            return Ok(None);
        };
        let (k, _) = width.split();
        let (coarse, _) = self.ruled_weight(tape, node, w, k)?;
        let (fine, q_w) = self.ruled_weight(tape, node, w, k + 1)?;
        Ok(Some((self.widths.choose(tape, &node.name, coarse, fine), q_w)))
    }
}

/// A state of another network, or one that was edited.
fn not_so_many(layer: &str, steps: usize) -> Error {
    Error::value("learned step", format!("the input of layer `{layer}` has {steps} steps, expected 1"))
}

/// The range that the unsigned grid of `bits` bits covers with the step `s`.
fn range_of_step(s: f32, bits: u32) -> Result<Range> {
    Ok(Range::of_step(s, Grid::unsigned(bits)?))
}
