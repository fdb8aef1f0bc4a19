//! What is chosen about a quantized network before anything is measured.

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::{Granularity, ScaleRule, Ste, StepRule, Widths};

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
        }
    }
}
