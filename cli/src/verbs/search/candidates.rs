//! Networks with rounded weights, measured as fast as can be: in the compiled float network.

use std::collections::HashMap;

use anyhow::Result;
use engine::kernel::Isa;
use engine::{Inference, Tensor, ops};
use models::{Network, QuantizedNetwork};
use quant::mixed::LayerSize;
use quant::{
    Policy, QuantConfig, Quantizer, ScaleRule, Symmetry, Widths, fake_quantize, reset_scale_and_zero_point,
};

use crate::run::exit::Failure;
use crate::run::experiment::Setup;

/// Images in one tensor, and their classes.
pub(super) struct Images {
    x: Tensor,
    pub(super) labels: Vec<usize>,
}

impl Images {
    /// Every second test image from `first` on, at most `count`.
    fn every_second(setup: &Setup, first: usize, count: usize) -> Result<Self> {
        let chosen: Vec<usize> =
            setup.test.indices.iter().copied().skip(first).step_by(2).take(count).collect();
        let mut loader = setup.test.clone().over(chosen);
        loader.batch_size = loader.indices.len().max(1);
        let batch = loader.epoch(0).next();
        let batch = batch.ok_or_else(|| Failure::BadInput("the data set has no test images".into()))?;
        Ok(Self { x: batch.x, labels: batch.labels })
    }
}

/// Measures networks with rounded weights.
pub(super) struct Candidates {
    network: Network,
    method: ScaleRule,
    pub(super) validation: Images,
    test: Images,
    /// Rounded weights by layer and bits: the search comes back to them again and again.
    rounded: HashMap<(usize, u32), Tensor>,
    /// Names of the layers with weights.
    names: Vec<String>,
}

impl Candidates {
    pub(super) fn new(setup: &Setup, method: ScaleRule, images: usize) -> Result<Self> {
        Ok(Self {
            network: setup.network.clone(),
            method,
            validation: Images::every_second(setup, 0, images)?,
            test: Images::every_second(setup, 1, usize::MAX)?,
            rounded: HashMap::new(),
            names: setup.network.graph.weighted().map(|node| node.name.clone()).collect(),
        })
    }

    pub(super) fn layers(&self) -> Vec<LayerSize> {
        let size = |name: &String| {
            let weights = self.network.params.get(&weight(name)).map_or(0, Tensor::len);
            LayerSize { name: name.clone(), weights, scales: 1 }
        };
        self.names.iter().map(size).collect()
    }

    /// The network with its weights rounded to `bits`, ready to run.
    fn compile(&mut self, bits: &[u32]) -> Result<Inference> {
        let mut params = self.network.params.clone();
        for (layer, &b) in bits.iter().enumerate() {
            let name = weight(&self.names[layer]);
            if !self.rounded.contains_key(&(layer, b)) {
                let w = self.network.params.get(&name)?;
                let q = reset_scale_and_zero_point(w, b, self.method, Symmetry::Symmetric, true)?;
                let w_hat = fake_quantize(w, &q)?;
                self.rounded.insert((layer, b), w_hat);
            }
            params.get_mut(&name)?.clone_from(&self.rounded[&(layer, b)]);
        }
        Ok(Inference::compile(&self.network.graph, &params, [32, 32, 3], Isa::active())?)
    }

    pub(super) fn validate(&mut self, bits: &[u32]) -> Result<f64> {
        let compiled = self.compile(bits)?;
        accuracy(&compiled, &self.validation)
    }

    pub(super) fn test(&mut self, bits: &[u32]) -> Result<f64> {
        let compiled = self.compile(bits)?;
        accuracy(&compiled, &self.test)
    }

    /// The network to save: these bits, activations at 16.
    pub(super) fn quantized(&self, setup: &Setup, bits: &[u32]) -> Result<QuantizedNetwork> {
        let widths = Widths { w: 8, a: 16 };
        let config = QuantConfig {
            bits: widths,
            policy: Policy::Product,
            weight_rule: self.method,
            ..QuantConfig::default()
        };
        let mut plan = config.policy.plan(&self.network.graph, widths);
        for (name, &w) in self.names.iter().zip(bits) {
            plan.set(name, Some(Widths { w, a: 16 }))?;
        }
        let quantizer = Quantizer::new(config).with_plan(plan);
        Ok(QuantizedNetwork::calibrate(&self.network, &quantizer, setup.subset(0, 256).epoch(0))?)
    }
}

fn weight(layer: &str) -> String {
    format!("{layer}.weight")
}

fn accuracy(compiled: &Inference, images: &Images) -> Result<f64> {
    let logits = compiled.run(&images.x)?;
    Ok(100.0 * ops::accuracy(&logits, &images.labels) as f64 / images.labels.len() as f64)
}
