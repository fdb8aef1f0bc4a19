//! Everything that makes integers of a float network: widths, scale rules, activation ranges.

use std::collections::BTreeMap;

use engine::{Error, Param, Params, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::{Plan, QuantConfig, Ranges};
use crate::mixed::{LayerSize, size_bytes};
use crate::{Granularity, Grid, QParams, Symmetry, reset_scale_and_zero_point, reset_scales_and_zero_points};

/// How a network is quantized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Bits, policy, scale rules, straight-through estimators.
    pub config: QuantConfig,
    /// The widths of each layer.
    pub plan: Plan,
    /// The range of each quantized layer's input.
    pub ranges: Ranges,
    /// Weight scales that the rule must not choose anew, by layer: those that were learned, or that a network stored as
    /// integers was stored with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weight_scales: BTreeMap<String, Vec<f32>>,
}

impl Quantization {
    /// Before calibration: no ranges, no fixed scales.
    pub fn new(config: QuantConfig, plan: Plan) -> Self {
        Self { config, plan, ranges: Ranges::default(), weight_scales: BTreeMap::new() }
    }

    /// The quantizer of the weight `w` of `layer`, `bits` bits wide: by the rule, or with the scales that
    /// [are fixed](Self::weight_scales). Of 0 bits it is the one that makes every weight 0.
    ///
    /// # Errors
    /// If the weight holds a NaN, `bits` is more than 16, or there are not as many fixed scales as there should be.
    pub fn weight_params(&self, layer: &str, w: &Tensor, bits: u32) -> Result<QParams> {
        if bits == 0 {
            return match self.config.weight_granularity {
                Granularity::PerTensor => QParams::per_tensor(Grid::ZERO, 1.0, 0),
                Granularity::PerChannel => {
                    QParams::per_channel(Grid::ZERO, vec![1.0; w.dims()[0]], vec![0; w.dims()[0]])
                }
            };
        }
        if let Some(scales) = self.weight_scales.get(layer) {
            return self.fixed_params(layer, scales, w.dims()[0], bits);
        }
        let reset = match self.config.weight_granularity {
            Granularity::PerTensor => reset_scale_and_zero_point,
            Granularity::PerChannel => reset_scales_and_zero_points,
        };
        reset(w, bits, self.config.weight_rule, Symmetry::Symmetric, true)
    }

    /// The quantizer with the scales that were chosen: one, or one for each of `outputs`, as the configuration has it.
    ///
    /// # Errors
    /// If there are not as many, or one is not positive.
    pub(crate) fn fixed_params(
        &self,
        layer: &str,
        scales: &[f32],
        outputs: usize,
        bits: u32,
    ) -> Result<QParams> {
        let grid = Grid::signed(bits)?;
        match (self.config.weight_granularity, scales) {
            (Granularity::PerTensor, &[s]) => QParams::per_tensor(grid, s, 0),
            (Granularity::PerChannel, s) if s.len() == outputs => {
                QParams::per_channel(grid, s.to_vec(), vec![0; outputs])
            }
            (granularity, s) => {
                let detail =
                    format!("layer `{layer}` has {} weight scales, which is not {granularity:?}", s.len());
                Err(Error::value("weight scales", detail))
            }
        }
    }

    /// Bytes of all `params` as integers take them: quantized weights packed at their widths with
    /// a scale of 4 bytes per tensor (or channel), everything else in 32 bits.
    pub fn packed_bytes(&self, params: &Params) -> usize {
        let bytes = |param: &Param| {
            let layer = param.name.strip_suffix(".weight").and_then(|layer| self.plan.get(layer));
            let weights = param.value.len();
            let Some(widths) = layer else { return 4 * weights };
            let size = LayerSize { name: String::new(), weights, scales: self.scales(param) };
            size_bytes(&[size], &[widths.w])
        };
        params.iter().map(bytes).sum()
    }

    /// The quantized layers, as the search over bit widths sees them.
    ///
    /// # Errors
    /// If one has no weight among `params`.
    pub fn layer_sizes(&self, params: &Params) -> Result<Vec<LayerSize>> {
        let quantized = self.plan.layers().iter().filter(|(_, widths)| widths.is_some());
        let size = |name: &String| {
            let weight = format!("{name}.weight");
            let param = params.iter().find(|p| p.name == weight);
            let param =
                param.ok_or_else(|| Error::value("layer sizes", format!("layer `{name}` has no weight")))?;
            Ok(LayerSize { name: name.clone(), weights: param.value.len(), scales: self.scales(param) })
        };
        quantized.map(|(name, _)| size(name)).collect()
    }

    fn scales(&self, param: &Param) -> usize {
        match self.config.weight_granularity {
            Granularity::PerTensor => 1,
            Granularity::PerChannel => param.value.dims()[0],
        }
    }
}
