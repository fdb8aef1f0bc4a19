//! What is chosen about a quantized network before anything is measured.

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::training::learned_steps::StepDomain;
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
    /// How learned steps move.
    #[serde(skip_serializing_if = "StepDomain::is_linear")]
    pub step_domain: StepDomain,
    /// Whether training normalises weights before it rounds them (9g).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub weight_norm: bool,
    /// `lambda` of (9h), which draws weights away from ties, at the end of training; 0: no damping.
    #[serde(skip_serializing_if = "is_zero")]
    pub damping: f32,
    /// `f_th` of (9k), above which a weight that jumps to and fro is frozen, at the end of training; 0: none is.
    #[serde(skip_serializing_if = "is_zero")]
    pub freezing: f32,
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
            step_domain: StepDomain::Linear,
            weight_norm: false,
            damping: 0.0,
            freezing: 0.0,
            decay: crate::MovingAverage::DECAY,
        }
    }
}

/// What is zero is not written: files of networks trained without damping or freezing do not know the words.
#[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
fn is_zero(value: &f32) -> bool {
    *value == 0.0
}
