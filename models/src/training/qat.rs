//! Quantization-aware training: the float weights learn under fake quantization.
//!
//! Every forward pass rounds weights and activations as the integers will; the backward pass sees through the
//! rounding by a straight-through estimator and moves the float *latent* weights. Weight scales are recomputed
//! in every pass, activation ranges follow a moving average of the batches', batch norm trains as usual.
//!
//! Where the configuration says so, weights are normalised before they are rounded (9g), damped near ties (9h), or frozen when
//! they jump across them (9k).

use std::collections::BTreeMap;

use engine::Tensor;
use engine::optim::Schedule;
use quant::training::freezing::Oscillations;
use quant::{FakeQuantHook, LearnedWidths, Quantization, Quantized, Ranges};

use super::{Learner, Tally, Trainer};
use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Result};

/// The key of a state's metadata that holds the activation ranges.
const RANGES: &str = "ranges";
/// The key that holds the learned steps, where there are any.
const STEPS: &str = "learned_steps";

/// The prefix of the tensors that say how the codes of weights have moved, where weights freeze.
const OSCILLATIONS: &str = "oscillations.";

/// The key that holds the learned widths, where there are any.
const WIDTHS: &str = "learned_widths";

/// A quantized network in training.
#[derive(Clone, Debug)]
pub struct QatTrainer {
    /// The float weights and the optimizer.
    pub trainer: Trainer,
    /// Widths, rules and the moving ranges.
    pub hook: FakeQuantHook,
}

impl QatTrainer {
    /// Starts from a quantized network: `trainer` holds its weights, and the ranges of `quantization` are the averages'
    /// first values.
    ///
    /// # Errors
    /// If weights are to be normalised, and those of a layer are all equal.
    pub fn new(trainer: Trainer, quantization: Quantization) -> Result<Self> {
        let mut hook = FakeQuantHook::new(quantization, true);
        hook.keep_spreads(&trainer.graph, &trainer.params)?;
        Ok(Self { trainer, hook })
    }

    /// Learns the widths of weights too (6k), from those of the plan down: a KiB more than `target` bytes costs `price`, in
    /// units of the loss. Steps of weights are the rule's.
    ///
    /// # Errors
    /// If a quantized layer has no weight.
    pub fn with_learned_widths(mut self, target: usize, price: f32) -> Result<Self> {
        let quantization = &self.hook.quantization;
        let bits = |layer: &str| quantization.plan.get(layer).map_or(0, |widths| widths.w);
        let sizes = quantization.layer_sizes(&self.trainer.params)?.into_iter();
        let layers = sizes
            .map(|layer| {
                let bits = bits(&layer.name);
                (layer, bits)
            })
            .collect();
        self.hook.widths = LearnedWidths::new(layers, target, price);
        Ok(self)
    }

    /// The quantized network as it stands: averaged weights where there is an average, normalised where training
    /// normalises.
    ///
    /// # Errors
    /// If weights are to be normalised, and those of a layer are all equal.
    pub fn quantized(&self) -> Result<Quantized> {
        Ok(Quantized {
            graph: self.trainer.graph.clone(),
            params: self.hook.normalized_params(self.trainer.averaged())?,
            quantization: self.hook.learned(),
        })
    }
}

impl Learner for QatTrainer {
    fn learn(&mut self, batch: Batch) -> Result<Tally> {
        let before = self.hook.steps.clone();
        let Schedule { base, warmup, .. } = self.trainer.schedule;
        // A rate that rises, or was nothing to begin with, has not fallen.
        let falls = base > 0.0 && self.trainer.step >= warmup;
        self.hook.progress = if falls { 1.0 - self.trainer.rate() / base } else { 0.0 };
        let result = self.trainer.step(batch, &mut self.hook)?;
        if let Some(ema) = &self.trainer.ema {
            self.hook.steps.average(&before, ema.share(self.trainer.step));
        }
        Ok(result)
    }

    fn steps(&self) -> usize {
        self.trainer.step
    }

    fn rate(&self) -> f32 {
        self.trainer.rate()
    }

    /// The float training's, with ranges and learned steps.
    fn state(&self) -> Checkpoint {
        let mut state = self.trainer.state();
        state.set(
            RANGES,
            serde_json::to_string(&self.hook.quantization.ranges).expect("numbers and names are JSON"),
        );
        if !self.hook.steps.steps.is_empty() {
            state.set(STEPS, serde_json::to_string(&self.hook.steps).expect("numbers and names are JSON"));
        }
        if !self.hook.widths.is_empty() {
            state.set(
                WIDTHS,
                serde_json::to_string(&self.hook.widths.widths).expect("numbers and names are JSON"),
            );
        }
        for (layer, seen) in &self.hook.oscillations {
            for (name, tensor) in seen.state() {
                state.tensors.push((format!("{OSCILLATIONS}{layer}.{name}"), tensor.clone()));
            }
        }
        state
    }

    fn restore(&mut self, mut state: Checkpoint) -> Result<()> {
        let broken = |detail: &str| Error::malformed(&state.path, format!("metadata `{RANGES}`: {detail}"));
        let json = state.metadata.get(RANGES).ok_or_else(|| broken("is missing"))?;
        let ranges: Ranges = serde_json::from_str(json).map_err(|e| broken(&e.to_string()))?;
        let steps = state.metadata.get(STEPS).map(|json| serde_json::from_str(json)).transpose();
        let steps = steps.map_err(|e| Error::malformed(&state.path, format!("metadata `{STEPS}`: {e}")))?;
        let widths = state.metadata.get(WIDTHS).map(|json| serde_json::from_str(json)).transpose();
        let of_widths =
            |e: &dyn std::fmt::Display| Error::malformed(&state.path, format!("metadata `{WIDTHS}`: {e}"));
        if let Some(widths) = widths.map_err(|e| of_widths(&e))? {
            self.hook.widths.restore(widths).map_err(|e| of_widths(&e))?;
        }
        let mut seen: BTreeMap<String, Vec<(String, Tensor)>> = BTreeMap::new();
        for (name, tensor) in state.split_off(OSCILLATIONS) {
            let (layer, name) = name.rsplit_once('.').unwrap_or(("", &name));
            seen.entry(layer.to_owned()).or_default().push((name.to_owned(), tensor));
        }
        let seen = seen.into_iter().map(|(layer, tensors)| Ok((layer, Oscillations::from_state(tensors)?)));
        let seen: BTreeMap<_, _> = seen.collect::<Result<_>>()?;
        self.trainer.restore(state)?;
        self.hook.oscillations = seen;
        self.hook.quantization.ranges = ranges;
        self.hook.steps = steps.unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
