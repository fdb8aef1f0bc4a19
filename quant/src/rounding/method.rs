//! Which reconstruction: what a unit is, what is learned in it, and how long.

/// What is reconstructed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitRule {
    /// Each layer with weights.
    Layers,
    /// Each piece between two points where the network can be cut: see [`units`](super::units).
    Blocks,
}

/// How weights are learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightRule {
    /// Each is rounded up or down from where it is: AdaRound.
    Rounding,
    /// Each moves freely and is rounded to nearest, straight-through: AdaQuant (Hubara et al., "Accurate post training
    /// quantization with small calibration sets", ICML 2021).
    Free,
}

/// A reconstruction: minimise `E |f(x) - f_q(x_q)|^2` of each unit (7k), without labels.
#[derive(Clone, Debug, PartialEq)]
pub struct Method {
    /// What is reconstructed at a time.
    pub units: UnitRule,
    /// How weights are learned.
    pub weights: WeightRule,
    /// Whether the steps of activations are learned at the same time.
    pub steps: bool,
    /// Whether batch norms' `gamma` and `beta`, and biases, are learned at the same time.
    pub norms: bool,
    /// Whether activations stay float with probability 1/2 (QDrop).
    pub drop: bool,
    /// Updates of each unit.
    pub iterations: usize,
    /// Images in each.
    pub batch: usize,
    /// Adam's learning rate of the rounding variable `v`, or of a free weight relative to the layer's root mean square.
    pub weight_rate: f32,
    /// Adam's learning rate of a step, relative to the step.
    pub step_rate: f32,
    /// Adam's learning rate of `gamma`, `beta` and biases.
    pub norm_rate: f32,
    /// Weight of the regulariser in relation to the error.
    pub regularizer: f32,
    /// Share of the iterations before the regulariser sets in.
    pub warm_up: f32,
    /// Views of each image: itself, and mirrored and shifted ones.
    pub views: usize,
}

impl Method {
    /// AdaRound: each layer alone, nothing but the rounding.
    pub const ADAROUND: Self = Self {
        units: UnitRule::Layers,
        weights: WeightRule::Rounding,
        steps: false,
        norms: false,
        drop: false,
        iterations: 1000,
        batch: 32,
        weight_rate: 1e-2,
        step_rate: 1e-3,
        norm_rate: 1e-3,
        regularizer: 0.01,
        warm_up: 0.2,
        views: 1,
    };
    /// BRECQ: each block, with the steps of activations. Errors of a block's output count alike here; the paper weighs them
    /// by the diagonal of the Fisher information, which takes labels or the network's own answers, and a backward pass.
    pub const BRECQ: Self = Self { units: UnitRule::Blocks, steps: true, ..Self::ADAROUND };
    /// QDrop: as BRECQ, with activations that stay float now and then.
    pub const QDROP: Self = Self { drop: true, ..Self::BRECQ };
    /// AdaQuant, in blocks and with QDrop: weights move freely, and the batch norms with them.
    pub const ADAQUANT: Self = Self {
        weights: WeightRule::Free,
        norms: true,
        weight_rate: 2e-2,
        step_rate: 2e-3,
        views: 4,
        ..Self::QDROP
    };
}
