//! How a quantized network is saved: a small file that infers, and the float weights beside it.
//!
//! | network | `ResNet20_W4A4.safetensors` | `ResNet20_W4A4.latent.safetensors` |
//! |---|---|---|
//! | everything is quantized (policy `product`) | the [integer-only network](quant::int_graph::file) | a checkpoint of the float weights |
//! | a layer stays float (policy `course`) | a checkpoint with [packed weights](crate::formats::packed) | the same |
//!
//! The first gives, wherever it is read, the classes that were measured, bit for bit; the second is what
//! training goes on from.

use std::path::{Path, PathBuf};

use crate::formats::{atomic, latent_path, packed};
use crate::nets::quantized::KEY;
use crate::{Checkpoint, QuantizedNetwork, Result};

/// What else a file says of its network: accuracy, seed, command.
pub type Facts<'a> = &'a [(&'a str, String)];

impl QuantizedNetwork {
    /// The bytes of the model file.
    ///
    /// # Errors
    /// If a weight cannot be quantized, or a sum could overflow.
    pub fn model_bytes(&self, facts: Facts<'_>) -> Result<Vec<u8>> {
        let checkpoint = self.with_facts(facts);
        if !self.is_integer_only() {
            return packed::to_bytes(self, &checkpoint);
        }
        let mut about = checkpoint.metadata;
        about.remove(KEY);
        Ok(self.lower()?.to_bytes(&about))
    }

    /// Writes both files, each whole or not at all, the model last; returns the path of the float weights.
    ///
    /// # Errors
    /// As [`model_bytes`](Self::model_bytes), or if the folder cannot be written to.
    pub fn save(&self, model: &Path, facts: Facts<'_>) -> Result<PathBuf> {
        let (latent, bytes) = (latent_path(model), self.model_bytes(facts)?);
        self.with_facts(facts).write(&latent)?;
        atomic::write(model, &bytes)?;
        Ok(latent)
    }

    fn with_facts(&self, facts: Facts<'_>) -> Checkpoint {
        let mut checkpoint = self.checkpoint();
        facts.iter().for_each(|(key, value)| checkpoint.set(key, value));
        checkpoint
    }
}

#[cfg(test)]
mod tests {
    use engine::Hook;
    use quant::{ActivationRule, Granularity, Policy, QuantConfig, Quantizer, ScaleRule};

    use super::*;
    use crate::data::augment::Normalization;
    use crate::data::loader::Loader;
    use crate::data::synthetic::noise_images;
    use crate::formats::{int_model, open};
    use crate::{Network, Shortcut, evaluate};

    fn quantized(bits: &str, policy: Policy, granularity: Granularity) -> (QuantizedNetwork, Loader) {
        let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
        let loader = Loader::evaluation(&set, 8, network.normalization);
        let config = QuantConfig {
            bits: bits.parse().unwrap(),
            policy,
            weight_granularity: granularity,
            ..QuantConfig::default()
        };
        let quantizer =
            Quantizer::new(config).with_activation_rule(ActivationRule::Scale(ScaleRule::HEURISTIC));
        (QuantizedNetwork::calibrate(&network, &quantizer, loader.epoch(0)).unwrap(), loader)
    }

    fn logits(quantized: &QuantizedNetwork, hook: &mut dyn Hook, loader: &Loader) -> Vec<f32> {
        let Network { graph, params, .. } = &quantized.network;
        evaluate(graph, params, loader.epoch(0), hook, |_| {}).unwrap().logits
    }

    #[test]
    fn packed_weights_give_the_same_logits_bit_for_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.safetensors");
        for (bits, granularity) in [
            ("W4A4", Granularity::PerTensor),
            ("W3A8", Granularity::PerChannel),
            ("W8A2", Granularity::PerTensor),
            ("W1A16", Granularity::PerTensor),
        ] {
            let (q, loader) = quantized(bits, Policy::Course, granularity);
            assert!(!q.is_integer_only());
            let latent = q.save(&path, &[("seed", "7".into())]).unwrap();
            assert!(!int_model::is_model(&path));
            let read = |path: &Path| {
                let checkpoint = open::load_checkpoint(path).unwrap();
                assert_eq!(checkpoint.metadata["seed"], "7");
                QuantizedNetwork::from_checkpoint(&checkpoint, None).unwrap().unwrap()
            };
            let (back, float) = (read(&path), read(&latent));
            assert_eq!((&float.network.params, &float.quantization), (&q.network.params, &q.quantization));
            assert_ne!(back.network.params, q.network.params);
            let all = |q: &QuantizedNetwork| {
                let of = &q.quantization;
                [
                    logits(q, &mut of.integers().unwrap(), &loader),
                    logits(q, &mut of.simulated(), &loader),
                    logits(q, &mut of.as_trained(), &loader),
                ]
            };
            assert_eq!(all(&q), all(&back), "{bits}");
            // And once more, from what was read.
            let again = back.model_bytes(&[("seed", "7".into())]).unwrap();
            assert!(again == std::fs::read(&path).unwrap(), "{bits}");
            let weights = q.quantization.packed_bytes(&q.network.params);
            let size = std::fs::metadata(&path).unwrap().len() as usize;
            assert!((weights..weights + 12_000).contains(&size), "{bits}: {size} for {weights}");
        }
    }

    #[test]
    fn without_a_float_layer_the_file_is_an_integer_only_network() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.safetensors");
        let (q, loader) = quantized("W4A4", Policy::Product, Granularity::PerTensor);
        let latent = q.save(&path, &[("test_accuracy", "10.00".into())]).unwrap();
        let (graph, about) = int_model::read(&path).unwrap();
        assert_eq!(graph, q.lower().unwrap());
        for key in ["arch", "shortcut", "bits", "policy", "method", "test_accuracy", "mean", "std"] {
            assert!(about.contains_key(key), "{key}");
        }
        let e = open::load_checkpoint(&path).unwrap_err().to_string();
        assert!(e.contains("integer-only network") && e.contains("q.latent.safetensors"), "{e}");
        assert!(open::load_checkpoint(latent).is_ok());
        let engine = quant::int_graph::IntEngine::new(graph).unwrap();
        let evaluation = int_model::evaluate(&engine, &loader, |_| {}).unwrap();
        assert_eq!((evaluation.images, evaluation.logits.len()), (16, 160));
    }

    #[test]
    fn what_is_wrong_with_packed_weights_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.safetensors");
        let (q, _) = quantized("W4A4", Policy::Course, Granularity::PerTensor);
        let good = q.model_bytes(&[]).unwrap();
        let len = u64::from_le_bytes(good[..8].try_into().unwrap()) as usize;
        let header = std::str::from_utf8(&good[8..8 + len]).unwrap();
        for (from, to, text) in [
            ("{\\\"bits\\\":4,", "{\\\"bits\\\":5,", "weights of 5 bits do not take"),
            ("{\\\"bits\\\":4,", "{\\\"bats\\\":4,", "unknown field"),
            ("\\\"shape\\\":[10,64]", "\\\"shape\\\":[64,10]", "the network expects [64, 64]"),
        ] {
            let mut bytes = good.clone();
            let at = header.find(from).unwrap_or_else(|| panic!("{from} in {header}")) + 8;
            bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let read = || QuantizedNetwork::from_checkpoint(&open::load_checkpoint(&path)?, None);
            let e = read().unwrap_err().to_string();
            assert!(e.contains("q.safetensors") && e.contains(text), "{e}");
        }
    }
}
