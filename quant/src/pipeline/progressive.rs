//! From one quantized network to the next: fewer bits, or other rules, for a network that was trained under quantization.
//!
//! What such a network computes in floats means nothing. Its batch norms know the statistics of rounded layers, and without the
//! rounding its activations may grow from layer to layer without bound. So nothing here looks at its float form: activations
//! are watched while it computes as it was trained, and no statistics are taken back.
//!
//! Going down by steps, 8 bits, 4, 2, is progressive quantization: Zhuang et al., "Towards effective low-bitwidth convolutional
//! neural networks" (CVPR 2018), section 3.3.

use std::collections::BTreeMap;

use engine::{Result, Tensor};

use super::calibrate::calibrate_under;
use super::{Quantized, Quantizer};
use crate::{Granularity, Quantization, Ranges};

impl Quantizer {
    /// `start` under the widths and rules that were chosen here. Weights stay. The range of an input whose width stays is kept,
    /// that of another is chosen by the rule from what `images` show; so with the scales of weights that were learned. What was
    /// one scale of a tensor becomes that of every channel; from scales of channels to one there is no way but the rule.
    ///
    /// # Errors
    /// If there are no images or they do not fit, or an activation is not finite.
    pub fn continue_from(
        &self,
        start: &Quantized,
        images: impl Iterator<Item = Tensor>,
    ) -> Result<Quantized> {
        let Quantized { graph, params, quantization: before } = start;
        let plan = self.plan(graph)?;
        let mut hook = before.as_trained();
        let seen = calibrate_under(&mut hook, graph, params, &plan, self.activation_rule(), images)?;

        let width = |input: &str| before.plan.inputs().find(|(name, _)| *name == input).map(|(_, bits)| bits);
        let kept = plan.inputs().filter(|(input, bits)| width(input) == Some(*bits));
        let kept = kept.filter_map(|(input, _)| Some((input.to_owned(), *before.ranges.0.get(input)?)));
        let ranges = Ranges(seen.0.into_iter().chain(kept).collect());

        let stays = |layer: &str| plan.get(layer).map(|w| w.w) == before.plan.get(layer).map(|w| w.w);
        let mut weight_scales = BTreeMap::new();
        for (layer, scales) in before.weight_scales.iter().filter(|(layer, _)| stays(layer)) {
            let scales = match (before.config.weight_granularity, self.config().weight_granularity) {
                (from, to) if from == to => scales.clone(),
                (Granularity::PerTensor, _) => {
                    let outputs = params.get(&format!("{layer}.weight"))?.dims()[0];
                    scales.repeat(outputs)
                }
                (Granularity::PerChannel, _) => continue,
            };
            weight_scales.insert(layer.clone(), scales);
        }
        let quantization =
            Quantization { ranges, weight_scales, ..Quantization::new(self.config().clone(), plan) };
        Ok(Quantized { graph: graph.clone(), params: params.clone(), quantization })
    }
}
