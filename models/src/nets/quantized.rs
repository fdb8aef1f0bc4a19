//! A network together with everything that makes integers of it: widths, scale rules, activation ranges.
//!
//! The weights kept are the float ones (the latent weights of quantization-aware training): a weight's scale is
//! a function of the weight by the chosen rule, so the integers follow from what is here, and training can go
//! on from it. In a file this is an ordinary checkpoint with one more key in its metadata, `quantization`; what
//! is shipped is smaller: see [`saved`](crate::formats::saved).

use quant::int_graph::{IntGraph, lower};
use quant::{Quantization, Quantized, Quantizer};

use crate::data::augment::Normalization;
use crate::data::cifar10::SIDE;
use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Network, Result};

/// The key of the metadata that makes a checkpoint a quantized network.
pub const KEY: &str = "quantization";

/// A network and how it is quantized.
#[derive(Clone, Debug)]
pub struct QuantizedNetwork {
    /// The network in floats.
    pub network: Network,
    /// What makes integers of it.
    pub quantization: Quantization,
}

impl QuantizedNetwork {
    /// `network` as `quantizer` says, calibrated on `batches`.
    ///
    /// # Errors
    /// If there are no batches, or an activation is not finite.
    pub fn calibrate(
        network: &Network,
        quantizer: &Quantizer,
        batches: impl Iterator<Item = Batch>,
    ) -> Result<Self> {
        let Network { graph, params, .. } = network;
        Ok(Self::of(network, quantizer.calibrate(graph, params, batches.map(|batch| batch.x))?))
    }

    /// What the library made of `network`.
    pub fn of(network: &Network, quantized: Quantized) -> Self {
        let Quantized { graph, params, quantization } = quantized;
        Self { network: Network { graph, params, ..network.clone() }, quantization }
    }

    /// Whether nothing stays float, and the image takes at most the 8 bits it has: whether the network
    /// [can be lowered](Self::lower).
    pub fn is_integer_only(&self) -> bool {
        let plan = &self.quantization.plan;
        let activations = self.network.graph.activations().all(|node| plan.activation(&node.name).is_some());
        activations
            && self.image_bits().is_some_and(|bits| bits <= 8)
            && plan.layers().iter().all(|(_, w)| w.is_some())
    }

    /// The bits with which the first layer takes the image; `None` if it takes floats.
    pub fn image_bits(&self) -> Option<u32> {
        self.quantization.plan.layers().first().and_then(|(_, widths)| *widths).map(|widths| widths.a)
    }

    /// The network without floats: see [`quant::int_graph`].
    ///
    /// # Errors
    /// If the plan leaves a layer float (policy `course` does), or a sum could overflow.
    pub fn lower(&self) -> Result<IntGraph> {
        let Network { graph, params, normalization, .. } = &self.network;
        let pixel = |c: usize, p: u8| normalization.apply(c, p);
        let source = lower::Source {
            graph,
            params,
            quantization: &self.quantization,
            image: [SIDE, SIDE, 3],
            pixel: &pixel,
        };
        Ok(lower(&source)?)
    }

    /// A checkpoint of the float weights, with the quantization in its metadata.
    pub fn checkpoint(&self) -> Checkpoint {
        let mut checkpoint = self.network.checkpoint(&self.network.params);
        let Quantization { config, .. } = &self.quantization;
        checkpoint.set("bits", config.bits);
        checkpoint.set("policy", config.policy);
        checkpoint.set("method", config.weight_rule);
        let json = serde_json::to_string(&self.quantization).expect("numbers and names are JSON");
        checkpoint.set(KEY, json);
        checkpoint
    }

    /// The quantized network in a checkpoint; `None` if it holds a float network.
    ///
    /// # Errors
    /// If the quantization cannot be read or does not belong to the network.
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        normalization: Option<Normalization>,
    ) -> Result<Option<Self>> {
        let Some(json) = checkpoint.metadata.get(KEY) else { return Ok(None) };
        let broken =
            |detail: String| Error::malformed(&checkpoint.path, format!("metadata `{KEY}`: {detail}"));
        let quantization = parse(json).map_err(|e| broken(e.to_string()))?;
        let network = Network::from_checkpoint(checkpoint.clone(), normalization)?;
        let names = network.graph.weighted().map(|node| &node.name);
        if !names.eq(quantization.plan.layers().iter().map(|(name, _)| name)) {
            return Err(broken("its layers are not those of the network".into()));
        }
        for (node, _) in quantization.plan.activations() {
            if !network.graph.activations().any(|known| known.name == *node) {
                return Err(broken(format!("the network has no residual sum or pool `{node}`")));
            }
        }
        for layer in quantization.weight_scales.keys() {
            let widths =
                quantization.plan.get(layer).ok_or_else(|| broken(format!("layer `{layer}` is float")))?;
            let w = network.params.get(&format!("{layer}.weight"))?;
            quantization.weight_params(layer, w, widths.w).map_err(|e| broken(e.to_string()))?;
        }
        for (node, bits) in quantization.plan.inputs() {
            quantization.ranges.params(node, bits).map_err(|e| broken(e.to_string()))?;
        }
        Ok(Some(Self { network, quantization }))
    }
}

/// The quantization in a file's metadata. Up to version 0.1 the fixed weight scales were part of the configuration.
fn parse(json: &str) -> serde_json::Result<Quantization> {
    let mut value: serde_json::Value = serde_json::from_str(json)?;
    let config = value.get_mut("config").and_then(|config| config.as_object_mut());
    if let Some(scales) = config.and_then(|config| config.remove("fixed_scales")) {
        value["weight_scales"] = scales;
    }
    serde_json::from_value(value)
}

#[cfg(test)]
mod tests {
    use quant::{QuantConfig, Range, Ranges};

    use super::*;
    use crate::Shortcut;

    fn quantized() -> QuantizedNetwork {
        let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let config = QuantConfig { bits: "W4A3".parse().unwrap(), ..QuantConfig::default() };
        let plan = config.policy.plan(&network.graph, config.bits);
        let range = |i: usize| Range { min: 0.0, max: 1.0 / (i + 1) as f32 };
        let ranges = plan.layers().iter().enumerate().map(|(i, (name, _))| (name.clone(), range(i)));
        let ranges = Ranges(ranges.skip(1).collect());
        QuantizedNetwork { network, quantization: Quantization { ranges, ..Quantization::new(config, plan) } }
    }

    #[test]
    fn a_file_brings_back_every_bit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.safetensors");
        let quantized = quantized();
        quantized.checkpoint().write(&path).unwrap();
        let back =
            QuantizedNetwork::from_checkpoint(&Checkpoint::read(&path).unwrap(), None).unwrap().unwrap();
        assert_eq!(back.quantization, quantized.quantization);
        assert_eq!(back.network.params, quantized.network.params);
        let float = quantized.network.checkpoint(&quantized.network.params);
        assert!(QuantizedNetwork::from_checkpoint(&float, None).unwrap().is_none());
    }

    #[test]
    fn a_quantization_of_another_network_is_refused() {
        let message = |change: &dyn Fn(&mut Quantization)| {
            let mut quantized = quantized();
            change(&mut quantized.quantization);
            QuantizedNetwork::from_checkpoint(&quantized.checkpoint(), None).unwrap_err().to_string()
        };
        let other = Network::fresh(14, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let m = message(&|q| q.plan = q.config.policy.plan(&other.graph, q.config.bits));
        assert!(m.contains("its layers are not those of the network"), "{m}");
        let m = message(&|q| _ = q.ranges.0.remove("layer2.0.conv1"));
        assert!(m.contains("layer2.0.conv1"), "{m}");
        let mut checkpoint = quantized().checkpoint();
        checkpoint.set(KEY, "{");
        let m = QuantizedNetwork::from_checkpoint(&checkpoint, None).unwrap_err().to_string();
        assert!(m.contains("metadata `quantization`"), "{m}");
    }

    #[test]
    fn packed_bytes_by_hand() {
        let q = quantized();
        let by_hand: usize = q
            .network
            .params
            .iter()
            .map(|p| {
                let quantized =
                    p.name != "conv1.weight" && (p.value.dims().len() == 4 || p.name == "fc.weight");
                if quantized { p.value.len() / 2 + 4 } else { 4 * p.value.len() }
            })
            .sum();
        assert_eq!(q.quantization.packed_bytes(&q.network.params), by_hand);
        let sizes = q.quantization.layer_sizes(&q.network.params).unwrap();
        assert_eq!((sizes[0].name.as_str(), sizes[0].weights), ("layer1.0.conv1", 16 * 9 * 16));
    }
}
