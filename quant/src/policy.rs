//! Which layer gets how many bits.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use engine::{Error, Graph, Result};
use serde::{Deserialize, Serialize};

use crate::{Granularity, ScaleRule, Ste, StepRule, Widths};

/// Which layers are quantized, and to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// The course's: the first convolution stays float, every other layer with weights gets the widths
    /// asked for.
    Course,
    /// For an integer-only model: everything is quantized, the first and the last layer to 8 bits, and so are the
    /// inputs of residual sums and of the average pool.
    Product,
}

impl FromStr for Policy {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "course" => Ok(Self::Course),
            "product" => Ok(Self::Product),
            _ => Err(Error::value("policy", format!("unknown policy `{text}`; known: course, product"))),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Course => "course",
            Self::Product => "product",
        })
    }
}

impl Policy {
    /// The widths of each layer of `graph`.
    pub fn plan(self, graph: &Graph, widths: Widths) -> Plan {
        let names: Vec<_> = graph.weighted().map(|node| node.name.clone()).collect();
        let last = names.len().saturating_sub(1);
        let eight = Widths { w: 8, a: 8 };
        let choose = |i: usize| match self {
            Self::Course => (i != 0).then_some(widths),
            Self::Product => Some(if i == 0 || i == last { eight } else { widths }),
        };
        let layers = names.into_iter().enumerate().map(|(i, name)| (name, choose(i))).collect();
        let edges = match self {
            Self::Course => Vec::new(),
            Self::Product => graph.edges().map(|node| (node.name.clone(), STREAM_BITS)).collect(),
        };
        Plan { layers, edges }
    }
}

/// Bits of the activations that no layer multiplies, in an integer-only model: residuals, and what is averaged.
pub const STREAM_BITS: u32 = 8;

/// The widths of each layer with weights, in the network's order; `None` is float.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    layers: Vec<(String, Option<Widths>)>,
    /// Bits of what enters a residual sum or the average pool, by node; empty where these stay float.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    edges: Vec<(String, u32)>,
}

impl Plan {
    /// Every layer and its widths.
    pub fn layers(&self) -> &[(String, Option<Widths>)] {
        &self.layers
    }

    /// The widths of a layer; `None` if it stays float, or is not in the network.
    pub fn get(&self, layer: &str) -> Option<Widths> {
        self.layers.iter().find(|(name, _)| name == layer).and_then(|(_, widths)| *widths)
    }

    /// Every residual sum and pool whose input is quantized, and to how many bits.
    pub fn edges(&self) -> &[(String, u32)] {
        &self.edges
    }

    /// Sets the bits of all residual sums and pools.
    ///
    /// # Errors
    /// Unless `bits` is 1 to 16.
    pub fn set_stream_bits(&mut self, bits: u32) -> Result<()> {
        crate::Grid::unsigned(bits)?;
        self.edges.iter_mut().for_each(|(_, b)| *b = bits);
        Ok(())
    }

    /// Everything that has a quantized input, and the bits of it: layers, residual sums, pools.
    pub fn inputs(&self) -> impl Iterator<Item = (&str, u32)> {
        let layers = self.layers.iter().filter_map(|(name, widths)| Some((name.as_str(), (*widths)?.a)));
        layers.chain(self.edges.iter().map(|(name, bits)| (name.as_str(), *bits)))
    }

    /// The bits of what enters this residual sum or pool; `None` if it stays float.
    pub fn edge(&self, node: &str) -> Option<u32> {
        self.edges.iter().find(|(name, _)| name == node).map(|(_, bits)| *bits)
    }

    /// Changes the widths of a layer.
    ///
    /// # Errors
    /// If there is no such layer.
    pub fn set(&mut self, layer: &str, widths: Option<Widths>) -> Result<()> {
        match self.layers.iter_mut().find(|(name, _)| name == layer) {
            Some((_, slot)) => *slot = widths,
            None => {
                let known: Vec<_> = self.layers.iter().map(|(name, _)| name.as_str()).collect();
                let hint = format!("; layers with weights: {}", known.join(", "));
                return Err(Error::Unknown { kind: "layer", name: layer.to_owned(), hint });
            }
        }
        Ok(())
    }
}

/// Everything that is chosen about a quantized network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct QuantConfig {
    /// Bits of weights and activations.
    pub bits: Widths,
    /// Which layers.
    pub policy: Policy,
    /// Scale rule of weights, recomputed at every forward pass.
    pub weight_rule: ScaleRule,
    /// One weight scale per tensor (the course's) or per output channel.
    pub weight_granularity: Granularity,
    /// Gradient of fake-quantized weights.
    pub weight_ste: Ste,
    /// Scale rule of activations, in calibration and for each batch's clipping value in training.
    pub activation_rule: ScaleRule,
    /// Gradient of fake-quantized activations.
    pub activation_ste: Ste,
    /// Where the steps of weights come from in training.
    #[serde(skip_serializing_if = "StepRule::is_rule")]
    pub weight_step: StepRule,
    /// Where the steps of activations come from in training.
    #[serde(skip_serializing_if = "StepRule::is_rule")]
    pub activation_step: StepRule,
    /// Decay of the moving average of activation ranges in training.
    pub decay: f32,
    /// Weight scales that the rule must not choose anew, by layer: those of a network that was stored as integers.
    /// Training does not keep them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub fixed_scales: BTreeMap<String, Vec<f32>>,
}

impl Default for QuantConfig {
    /// W8A8 by the course's policy: SAWB weights per tensor with the identity STE, activations by their
    /// largest value with the clipped STE.
    fn default() -> Self {
        Self {
            bits: Widths { w: 8, a: 8 },
            policy: Policy::Course,
            weight_rule: ScaleRule::SAWB,
            weight_granularity: Granularity::PerTensor,
            weight_ste: Ste::Identity,
            activation_rule: ScaleRule::SYMMETRIC,
            activation_ste: Ste::Clipped,
            weight_step: StepRule::Rule,
            activation_step: StepRule::Rule,
            decay: crate::MovingAverage::DECAY,
            fixed_scales: BTreeMap::new(),
        }
    }
}

impl QuantConfig {
    /// The quantizer of the weight `w` of `layer`, `bits` bits wide: by the rule, or with the layer's fixed scales.
    ///
    /// # Errors
    /// If the weight holds a NaN, `bits` is not 1 to 16, or there are not as many fixed scales as there should be.
    pub fn weight_params(&self, layer: &str, w: &engine::Tensor, bits: u32) -> Result<crate::QParams> {
        if let Some(scales) = self.fixed_scales.get(layer) {
            return self.fixed_params(layer, scales, w.dims()[0], bits);
        }
        let reset = match self.weight_granularity {
            Granularity::PerTensor => crate::reset_scale_and_zero_point,
            Granularity::PerChannel => crate::reset_scales_and_zero_points,
        };
        reset(w, bits, self.weight_rule, crate::Mode::Symmetric, true)
    }

    fn fixed_params(&self, layer: &str, scales: &[f32], outputs: usize, bits: u32) -> Result<crate::QParams> {
        let grid = crate::Grid::signed(bits)?;
        match (self.weight_granularity, scales) {
            (Granularity::PerTensor, &[s]) => crate::QParams::per_tensor(grid, s, 0),
            (Granularity::PerChannel, s) if s.len() == outputs => {
                crate::QParams::per_channel(grid, s.to_vec(), vec![0; outputs])
            }
            (granularity, s) => {
                let detail =
                    format!("layer `{layer}` has {} weight scales, which is not {granularity:?}", s.len());
                Err(Error::value("weight scales", detail))
            }
        }
    }
}
