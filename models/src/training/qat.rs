//! Quantization-aware training: the float weights learn under fake quantization.
//!
//! Every forward pass rounds weights and activations as the integers will; the backward pass sees through the
//! rounding by a straight-through estimator and moves the float *shadow* weights. Weight scales are recomputed
//! in every pass, activation ranges follow a moving average of the batches', batch norm trains as usual.

use engine::fast::Algorithm;
use engine::kernel::Isa;
use engine::optim::{Ema, Schedule, Sgd};
use quant::{FakeQuantHook, Quantization, Ranges};

use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Progress, QuantizedNetwork, Result, Trainer};

/// The key of a state's metadata that holds the activation ranges.
const RANGES: &str = "ranges";
/// The key that holds the learned steps, where there are any.
const STEPS: &str = "learned_steps";

/// A quantized network in training.
#[derive(Clone, Debug)]
pub struct QatTrainer {
    /// The float weights and the optimizer.
    pub trainer: Trainer,
    /// Widths, rules and the moving ranges.
    pub hook: FakeQuantHook,
}

impl QatTrainer {
    /// Starts from a quantized network: its weights, and its ranges as the averages' first values.
    pub fn new(
        quantized: QuantizedNetwork,
        sgd: Sgd,
        schedule: Schedule,
        smoothing: f32,
        ema: Option<f32>,
    ) -> Self {
        let QuantizedNetwork { network, quantization: Quantization { config, plan, ranges } } = quantized;
        let ema = ema.map(|decay| Ema::new(decay, &network.params));
        Self {
            trainer: Trainer {
                network,
                sgd,
                schedule,
                smoothing,
                algorithm: Algorithm::Winograd(Isa::active()),
                teacher: None,
                ema,
                step: 0,
            },
            hook: FakeQuantHook::new(config, plan, ranges, true),
        }
    }

    /// One step on one batch.
    ///
    /// # Errors
    /// If the loss is not finite.
    pub fn step(&mut self, batch: Batch) -> Result<Progress> {
        let before = self.hook.steps.clone();
        let result = self.trainer.step(batch, &mut self.hook)?;
        if let Some(ema) = &self.trainer.ema {
            self.hook.steps.average(&before, ema.decay);
        }
        Ok(result)
    }

    /// The quantized network as it stands: averaged weights where there is an average.
    pub fn quantized(&self) -> QuantizedNetwork {
        let mut network = self.trainer.network.clone();
        network.params.clone_from(self.trainer.averaged());
        let (plan, (config, ranges)) = (self.hook.plan.clone(), self.hook.learned());
        QuantizedNetwork { network, quantization: Quantization { config, plan, ranges } }
    }

    /// Everything needed to continue to the same bits.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = self.trainer.checkpoint();
        checkpoint.set(RANGES, serde_json::to_string(&self.hook.ranges).expect("numbers and names are JSON"));
        if !self.hook.steps.steps.is_empty() {
            checkpoint
                .set(STEPS, serde_json::to_string(&self.hook.steps).expect("numbers and names are JSON"));
        }
        checkpoint
    }

    /// Restores the state that [`checkpoint`](Self::checkpoint) kept.
    ///
    /// # Errors
    /// If it does not belong to this network, or holds no ranges.
    pub fn restore(&mut self, checkpoint: Checkpoint) -> Result<()> {
        let broken =
            |detail: &str| Error::malformed(&checkpoint.path, format!("metadata `{RANGES}`: {detail}"));
        let json = checkpoint.metadata.get(RANGES).ok_or_else(|| broken("is missing"))?;
        let ranges: Ranges = serde_json::from_str(json).map_err(|e| broken(&e.to_string()))?;
        let steps = checkpoint.metadata.get(STEPS).map(|json| serde_json::from_str(json)).transpose();
        let steps =
            steps.map_err(|e| Error::malformed(&checkpoint.path, format!("metadata `{STEPS}`: {e}")))?;
        self.trainer.restore(checkpoint)?;
        self.hook.ranges = ranges;
        self.hook.steps = steps.unwrap_or_default();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use engine::optim::Decay;
    use quant::{QuantConfig, Quantizer};

    use super::*;
    use crate::data::augment::{Augment, Normalization};
    use crate::data::loader::Loader;
    use crate::data::synthetic::noise_images;
    use crate::{Network, Shortcut};

    fn start() -> (QatTrainer, Loader) {
        let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let set = noise_images(24, 4, &Normalization::TRUE, 1).unwrap();
        let loader = Loader::training(&set, 8, network.normalization, Augment::STANDARD, 5);
        let config = QuantConfig { bits: "W4A4".parse().unwrap(), ..QuantConfig::default() };
        let quantizer = Quantizer::new(config);
        let quantized = QuantizedNetwork::calibrate(&network, &quantizer, loader.epoch(0)).unwrap();
        let schedule = Schedule { base: 0.05, warmup: 0, total: 6, decay: Decay::Cosine { end: 0.0 } };
        let sgd = Sgd::new(0.9, true, 1e-4, false);
        (QatTrainer::new(quantized, sgd, schedule, 0.0, Some(0.5)), loader)
    }

    #[test]
    fn the_loss_falls_and_the_ranges_move() {
        let (mut qat, loader) = start();
        let before = qat.hook.ranges.clone();
        let mut losses = Vec::new();
        for epoch in 0..2 {
            for batch in loader.epoch(epoch) {
                losses.push(qat.step(batch).unwrap().mean_loss());
            }
        }
        assert!(losses[5] < 0.8 * losses[0], "{losses:?}");
        assert_ne!(qat.hook.ranges, before);
        assert_eq!(&qat.quantized().network.params, qat.trainer.averaged());
    }

    #[test]
    fn a_resumed_run_continues_to_the_same_bits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state.safetensors");
        let (mut whole, loader) = start();
        let (mut first, _) = start();
        for (i, batch) in loader.epoch(0).enumerate() {
            whole.step(batch.clone()).unwrap();
            if i < 2 {
                first.step(batch).unwrap();
            }
        }
        first.checkpoint().write(&path).unwrap();
        let (mut second, _) = start();
        second.restore(Checkpoint::read(&path).unwrap()).unwrap();
        assert_eq!(second.trainer.step, 2);
        loader.epoch_from(0, 2).for_each(|batch| _ = second.step(batch).unwrap());
        assert_eq!(second.trainer.network.params, whole.trainer.network.params);
        assert_eq!(second.hook.ranges, whole.hook.ranges);
        assert_eq!(second.trainer.averaged(), whole.trainer.averaged());
    }

    #[test]
    fn a_float_runs_state_is_refused() {
        let (mut qat, _) = start();
        let state = qat.trainer.checkpoint();
        assert!(qat.restore(state).unwrap_err().to_string().contains("metadata `ranges`: is missing"));
    }
}
