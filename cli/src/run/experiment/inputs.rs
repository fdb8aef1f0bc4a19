//! What each layer sees on the first training images.

use std::path::Path;

use anyhow::Result;
use engine::{Hook, Incoming, LayerQuant, Node, Operands, Tape, Tensor, Var};
use models::data::loader::Loader;
use models::{Network, evaluate};
use quant::SimulateHook;
use quant::observer::sampling_stride;

use crate::run::assets;
use crate::run::context::Context;

/// A sample of every layer's input of the network in `file`, in its order; of a quantized network, as it is before it is rounded, behind
/// layers that are. None of no images.
///
/// # Errors
/// If the images cannot be read, or are of other classes.
pub fn inputs(
    context: &Context,
    (data, images): (Option<&Path>, usize),
    (file, network): (&Path, &Network),
    quantized: Option<SimulateHook>,
) -> Result<Vec<(String, Tensor)>> {
    if images == 0 {
        return Ok(Vec::new());
    }
    let data = assets::open_data(context, data)?;
    assets::expect_classes(context, (file, &network.classes), (&data.folder, data.classes()))?;
    let images = images.min(data.train.len());
    let loader =
        Loader::evaluation(&data.train, 64, network.normalization).over((0..images).collect::<Vec<_>>());
    let mut inputs = Inputs { seen: Vec::new(), quantized };
    context.detail(format_args!("activations of {images} images of {}", data.folder.display()));
    evaluate(&network.graph, &network.params, loader.epoch(0), &mut inputs, |_| ())?;
    let tensor = |(name, values): (String, Vec<f32>)| Ok((name, Tensor::from_vec([values.len()], values)?));
    // Listed in the order of the network, in whatever order they were computed.
    let order: Vec<&str> = network.graph.weighted().map(|node| node.name.as_str()).collect();
    inputs.seen.sort_by_key(|(name, _)| order.iter().position(|layer| layer == name));
    inputs.seen.into_iter().map(tensor).collect()
}

/// Keeps a sample of every layer's input.
struct Inputs {
    seen: Vec<(String, Vec<f32>)>,
    /// Computes the layers that are quantized.
    quantized: Option<SimulateHook>,
}

/// Of each batch and layer, about so many values are kept.
const KEPT: usize = 40_000;

impl Inputs {
    fn keep(&mut self, node: &Node, x: &Tensor) {
        let values = x.data();
        let place = self.seen.iter().position(|(name, _)| *name == node.name).unwrap_or_else(|| {
            self.seen.push((node.name.clone(), Vec::new()));
            self.seen.len() - 1
        });
        let kept = &mut self.seen[place].1;
        // The extremes decide the scale, so they are always among the kept.
        let stride = sampling_stride(values.len(), KEPT, x.shape().last());
        kept.extend(values.iter().step_by(stride));
        kept.extend(values.iter().copied().reduce(f32::min));
        kept.extend(values.iter().copied().reduce(f32::max));
    }
}

impl Hook for Inputs {
    fn compute(
        &mut self,
        node: &Node,
        x: &Tensor,
        w: &Tensor,
        b: Option<&Tensor>,
    ) -> engine::Result<Option<Tensor>> {
        self.keep(node, x);
        self.quantized.as_mut().map_or(Ok(None), |hook| hook.compute(node, x, w, b))
    }

    fn layer(&mut self, _: &mut Tape, _: &Node, operands: Operands) -> engine::Result<LayerQuant> {
        Ok(operands.into())
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> engine::Result<Var> {
        self.quantized.as_mut().map_or(Ok(x.var), |hook| hook.activation(tape, node, x))
    }
}

#[cfg(test)]
mod tests {
    use models::data::augment::Normalization;
    use models::{QuantizedNetwork, Shortcut};
    use quant::{Policy, QuantConfig, Quantizer};

    use super::*;

    /// Policy `product` rounds residual sums too.
    #[test]
    fn what_is_seen_is_what_the_quantized_network_computes() {
        let network = Network::fresh(8, Shortcut::B, Normalization::COURSE, 5).unwrap();
        let pixels = (0..2 * 32 * 32 * 3).map(|i| (i * 37 % 255) as f32 / 64.0 - 2.0).collect();
        let images = Tensor::from_vec([2, 32, 32, 3], pixels).unwrap();
        let config =
            QuantConfig { bits: "W4A4".parse().unwrap(), policy: Policy::Product, ..QuantConfig::default() };
        let Network { graph, params, .. } = &network;
        let quantized = Quantizer::new(config).calibrate(graph, params, [images.clone()].into_iter());
        let QuantizedNetwork { network, quantization } = QuantizedNetwork::of(&network, quantized.unwrap());
        let logits =
            |hook: &mut dyn Hook| network.graph.infer(&network.params, images.clone(), hook).unwrap();
        let mut watched = Inputs { seen: Vec::new(), quantized: Some(quantization.simulated()) };
        assert_eq!(logits(&mut watched).data(), logits(&mut quantization.simulated()).data());
        assert_eq!(watched.seen.len(), network.graph.weighted().count());
    }
}
