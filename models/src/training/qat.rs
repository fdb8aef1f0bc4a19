//! Quantization-aware training: the float weights learn under fake quantization.
//!
//! Every forward pass rounds weights and activations as the integers will; the backward pass sees through the
//! rounding by a straight-through estimator and moves the float *latent* weights. Weight scales are recomputed
//! in every pass, activation ranges follow a moving average of the batches', batch norm trains as usual.
//!
//! Where the configuration says so, weights are normalised before they are rounded (9g) and damped near ties (9h).

use engine::optim::Schedule;
use quant::{FakeQuantHook, LearnedWidths, Quantization, Quantized, Ranges};

use super::{Learner, Tally, Trainer};
use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Result};

/// The key of a state's metadata that holds the activation ranges.
const RANGES: &str = "ranges";
/// The key that holds the learned steps, where there are any.
const STEPS: &str = "learned_steps";

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
        state
    }

    fn restore(&mut self, state: Checkpoint) -> Result<()> {
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
        self.trainer.restore(state)?;
        self.hook.quantization.ranges = ranges;
        self.hook.steps = steps.unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine::optim::{Decay, Schedule, Sgd};
    use quant::mixed::size_bytes;
    use quant::{QuantConfig, Quantizer};

    use super::*;
    use crate::data::augment::{Augment, Normalization};
    use crate::data::loader::Loader;
    use crate::data::synthetic::noise_images;
    use crate::{Network, QuantizedNetwork, Shortcut};

    fn start() -> (QatTrainer, Loader) {
        with(QuantConfig::default())
    }

    fn with(config: QuantConfig) -> (QatTrainer, Loader) {
        let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let set = noise_images(24, 4, &Normalization::TRUE, 1).unwrap();
        let loader = Loader::training(&set, 8, network.normalization, Augment::STANDARD, 5);
        let config = QuantConfig { bits: "W4A4".parse().unwrap(), ..config };
        let quantizer = Quantizer::new(config);
        let quantized = QuantizedNetwork::calibrate(&network, &quantizer, loader.epoch(0)).unwrap();
        let schedule = Schedule { base: 0.05, warmup: 0, total: 6, decay: Decay::Cosine { end: 0.0 } };
        let sgd = Sgd::new(0.9, true, 1e-4, false);
        let trainer = Trainer::new(network.graph, quantized.network.params, sgd, schedule).with_ema(0.5);
        (QatTrainer::new(trainer, quantized.quantization).unwrap(), loader)
    }

    #[test]
    fn the_loss_falls_and_the_ranges_move() {
        let (mut qat, loader) = start();
        let before = qat.hook.quantization.ranges.clone();
        let mut losses = Vec::new();
        for epoch in 0..2 {
            for batch in loader.epoch(epoch) {
                losses.push(qat.learn(batch).unwrap().mean_loss());
            }
        }
        assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
        assert_ne!(qat.hook.quantization.ranges, before);
        assert_eq!(&qat.quantized().unwrap().params, qat.trainer.averaged());
    }

    #[test]
    fn a_resumed_run_continues_to_the_same_bits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        let (mut whole, loader) = start();
        let (mut first, _) = start();
        for (i, batch) in loader.epoch(0).enumerate() {
            whole.learn(batch.clone()).unwrap();
            if i < 2 {
                first.learn(batch).unwrap();
            }
        }
        first.state().write(&path).unwrap();
        let (mut second, _) = start();
        second.restore(Checkpoint::read(&path).unwrap()).unwrap();
        assert_eq!(second.trainer.step, 2);
        loader.epoch_from(0, 2).for_each(|batch| _ = second.learn(batch).unwrap());
        assert_eq!(second.trainer.params, whole.trainer.params);
        assert_eq!(second.hook.quantization.ranges, whole.hook.quantization.ranges);
        assert_eq!(second.trainer.averaged(), whole.trainer.averaged());
    }

    #[test]
    fn normalized_weights_are_those_of_the_network_that_comes_out() {
        let (mut qat, loader) =
            with(QuantConfig { weight_norm: true, damping: 0.01, ..QuantConfig::default() });
        let start = qat.quantized().unwrap().params;
        loader.epoch(0).for_each(|batch| _ = qat.learn(batch).unwrap());
        let params = qat.quantized().unwrap().params;
        for (before, after) in
            start.iter().zip(params.iter()).filter(|(p, _)| p.name.ends_with("conv2.weight"))
        {
            let spread = |w| quant::training::weight_norm::spread(w).unwrap();
            assert!((spread(&before.value) / spread(&after.value) - 1.0).abs() < 1e-5, "{}", before.name);
            assert!(after.value.data().iter().sum::<f32>().abs() < 1e-3, "{}", after.name);
            assert_ne!(before.value, after.value);
        }
        assert!(qat.hook.progress > 0.2, "{}", qat.hook.progress);
    }

    #[test]
    fn learned_widths_become_whole_bits_within_their_target_and_resume() {
        let with_widths = || {
            let (qat, loader) = start();
            let all = qat.quantized().unwrap();
            let bytes = size_bytes(&all.quantization.layer_sizes(&all.params).unwrap(), &[4; 8]);
            (qat.with_learned_widths(bytes * 5 / 8, 0.3).unwrap(), loader, bytes)
        };
        let (mut qat, loader, bytes) = with_widths();
        qat.trainer.schedule = Schedule { decay: Decay::Cosine { end: 0.5 }, ..qat.trainer.schedule };
        let (mut first, _, _) = with_widths();
        first.trainer.schedule = qat.trainer.schedule.clone();
        for (i, batch) in (0..12).flat_map(|epoch| loader.epoch(epoch)).enumerate() {
            qat.learn(batch.clone()).unwrap();
            if i < 20 {
                first.learn(batch).unwrap();
            }
        }
        let quantized = qat.quantized().unwrap();
        let sizes = quantized.quantization.layer_sizes(&quantized.params).unwrap();
        let bits: Vec<u32> = quantized
            .quantization
            .plan
            .layers()
            .iter()
            .filter_map(|(_, widths)| Some((*widths)?.w))
            .collect();
        assert!(size_bytes(&sizes, &bits) <= bytes * 5 / 8, "{bits:?}");
        assert!(bits.iter().all(|b| (1..=4).contains(b)) && bits.iter().any(|&b| b != bits[0]), "{bits:?}");

        let (mut second, _, _) = with_widths();
        second.trainer.schedule = qat.trainer.schedule.clone();
        second.restore(first.state()).unwrap();
        (0..12)
            .flat_map(|epoch| loader.epoch(epoch))
            .skip(20)
            .for_each(|batch| _ = second.learn(batch).unwrap());
        assert_eq!(second.hook.widths, qat.hook.widths);
        assert_eq!(second.trainer.params, qat.trainer.params);

        let (mut other, _) = start();
        let error = other.restore(first.state()).unwrap_err().to_string();
        assert!(error.contains("metadata `learned_widths`"), "{error}");
    }

    #[test]
    fn without_a_learning_rate_the_weights_stay() {
        let (mut qat, loader) = with(QuantConfig { damping: 0.5, ..QuantConfig::default() });
        qat.trainer.schedule.base = 0.0;
        let before = qat.trainer.params.get("fc.weight").unwrap().clone();
        loader.epoch(0).for_each(|batch| _ = qat.learn(batch).unwrap());
        assert_eq!(qat.trainer.params.get("fc.weight").unwrap(), &before);
        assert_eq!(qat.hook.progress, 0.0);
    }

    #[test]
    fn frozen_norms_keep_their_statistics_while_weights_move() {
        let (mut qat, loader) = start();
        qat.trainer.frozen_from = Some(1);
        let mut batches = loader.epoch(0);
        qat.learn(batches.next().unwrap()).unwrap();
        let before = qat.trainer.params.clone();
        qat.learn(batches.next().unwrap()).unwrap();
        for (before, after) in before.iter().zip(qat.trainer.params.iter()) {
            let statistic = before.name.contains(".running_");
            assert_eq!(before.value == after.value, statistic, "{}", before.name);
        }
    }

    #[test]
    fn a_float_runs_state_is_refused() {
        let (mut qat, _) = start();
        let state = qat.trainer.state();
        assert!(qat.restore(state).unwrap_err().to_string().contains("metadata `ranges`: is missing"));
    }
}
