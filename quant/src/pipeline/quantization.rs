//! Everything that makes integers of a float network: widths, scale rules, activation ranges.

use engine::{Error, Param, Params, Result};
use serde::{Deserialize, Serialize};

use crate::mixed::{LayerSize, size_bytes};
use crate::{FakeQuantHook, Granularity, IntegerHook, Plan, QuantConfig, Ranges, SimulateHook};

/// How a network is quantized.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quantization {
    /// Bits, policy, scale rules, straight-through estimators.
    pub config: QuantConfig,
    /// The widths of each layer.
    pub plan: Plan,
    /// The range of each quantized layer's input.
    pub ranges: Ranges,
}

impl Quantization {
    /// The hook that simulates the integers in floats, rounding where they round.
    pub fn simulated(&self) -> SimulateHook {
        SimulateHook::new(self.config.clone(), self.plan.clone(), self.ranges.clone())
    }

    /// The hook that training computes with, its ranges frozen: sums of restored numbers, rounded as floats are.
    pub fn as_trained(&self) -> FakeQuantHook {
        FakeQuantHook::new(self.config.clone(), self.plan.clone(), self.ranges.clone(), false)
    }

    /// The hook that computes every quantized layer in integers.
    ///
    /// # Errors
    /// If a weight has more than 8 bits, or a layer no range.
    pub fn integers(&self) -> Result<IntegerHook> {
        IntegerHook::new(self.config.clone(), self.plan.clone(), self.ranges.clone())
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
