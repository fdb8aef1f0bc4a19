//! A float network and what is chosen about its quantization, on the way to integers.

use std::collections::BTreeMap;

use engine::optim::Sgd;
use engine::{Graph, Params, Result, Tape, Tensor, ops};

use super::{ActivationRule, Correction, Reference, calibrate};
use crate::int_graph::{IntGraph, lower};
use crate::{FakeQuantHook, LayerBits, Plan, QuantConfig, Quantization};

/// What is chosen before anything is measured: widths, rules, and which layer gets how many bits.
#[derive(Clone, Debug)]
pub struct Quantizer {
    config: QuantConfig,
    activation_rule: ActivationRule,
    plan: Option<Plan>,
    residual_bits: Option<u32>,
    layer_bits: Option<LayerBits>,
    weight_scales: BTreeMap<String, Vec<f32>>,
}

impl Quantizer {
    /// By `config`, whose policy says which layers are quantized and whose activation rule chooses the ranges.
    pub fn new(config: QuantConfig) -> Self {
        let activation_rule = ActivationRule::Scale(config.activation_rule);
        Self {
            config,
            activation_rule,
            plan: None,
            residual_bits: None,
            layer_bits: None,
            weight_scales: BTreeMap::new(),
        }
    }

    /// Calibrates by `rule`; in training the ranges follow the configuration's.
    #[must_use]
    pub fn with_activation_rule(self, rule: ActivationRule) -> Self {
        Self { activation_rule: rule, ..self }
    }

    /// Takes the widths of each layer from `plan` instead of the policy.
    #[must_use]
    pub fn with_plan(self, plan: Plan) -> Self {
        Self { plan: Some(plan), ..self }
    }

    /// Quantizes residual sums and what is averaged to `bits`, where the policy quantizes them.
    #[must_use]
    pub fn with_residual_bits(self, bits: u32) -> Self {
        Self { residual_bits: Some(bits), ..self }
    }

    /// Gives single layers other widths than the policy or the plan does.
    #[must_use]
    pub fn with_layer_bits(self, bits: LayerBits) -> Self {
        Self { layer_bits: Some(bits), ..self }
    }

    /// Keeps these weight scales instead of choosing them by the rule.
    #[must_use]
    pub fn with_weight_scales(self, weight_scales: BTreeMap<String, Vec<f32>>) -> Self {
        Self { weight_scales, ..self }
    }

    /// What is chosen beside the plan.
    pub fn config(&self) -> &QuantConfig {
        &self.config
    }

    /// How the ranges of activations are chosen.
    pub(super) fn activation_rule(&self) -> ActivationRule {
        self.activation_rule
    }

    /// The widths of each layer of `graph`.
    ///
    /// # Errors
    /// If the bits of the residual stream are not 1 to 16, `graph` has no such layer as one that was given other widths, or a layer
    /// is dropped without which nothing is left.
    pub fn plan(&self, graph: &Graph) -> Result<Plan> {
        let from_policy = || self.config.policy.plan(graph, self.config.bits);
        let mut plan = self.plan.clone().unwrap_or_else(from_policy);
        if let Some(bits) = self.residual_bits {
            plan.set_residual_bits(bits)?;
        }
        if let Some(bits) = &self.layer_bits {
            bits.apply(&mut plan, self.config.bits.a)?;
        }
        plan.check_dropped(graph)?;
        Ok(plan)
    }

    /// The network `graph` with `params`, quantized: its ranges are those that the float network shows on `images`,
    /// batches `[N, H, W, C]` as the network takes them.
    ///
    /// # Errors
    /// If there are no images or they do not fit, or an activation is not finite.
    pub fn calibrate(
        &self,
        graph: &Graph,
        params: &Params,
        images: impl Iterator<Item = Tensor>,
    ) -> Result<Quantized> {
        let plan = self.plan(graph)?;
        let ranges = calibrate(graph, params, &plan, self.activation_rule, images)?;
        let weight_scales = self.weight_scales.clone();
        let quantization =
            Quantization { ranges, weight_scales, ..Quantization::new(self.config.clone(), plan) };
        Ok(Quantized { graph: graph.clone(), params: params.clone(), quantization })
    }
}

/// A network and how it is quantized. The weights are the float ones (in training, the latent weights): integers follow
/// from them.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// The layers.
    pub graph: Graph,
    /// Their parameters, in floats.
    pub params: Params,
    /// What makes integers of them.
    pub quantization: Quantization,
}

impl Quantized {
    /// Lets the batch norms take back what rounding did to their layers' statistics on `images`: see
    /// [`correct`](super::correct).
    ///
    /// # Errors
    /// If the images do not fit.
    pub fn correct(&mut self, images: impl Iterator<Item = Tensor>, correction: Correction) -> Result<()> {
        if correction != Correction::None {
            let reference = Reference::new(&self.graph, &self.params, images)?;
            self.params = reference.correct(&self.quantization, correction)?;
        }
        Ok(())
    }

    /// Quantization-aware training in its plainest form: one step of `sgd` with learning rate `rate` on each batch of
    /// images and labels, every forward pass under [fake quantization](crate::training::fake_quantize), every backward pass
    /// straight through it. Returns the loss of each step. Weights that are normalised (9g) are so in the end; damping (9h), if the
    /// configuration asks for it, has its whole strength from the beginning.
    ///
    /// # Errors
    /// If a batch does not fit, or an activation is NaN.
    pub fn train(
        &mut self,
        batches: impl Iterator<Item = (Tensor, Vec<usize>)>,
        mut sgd: Sgd,
        rate: f32,
    ) -> Result<Vec<f32>> {
        let mut hook = FakeQuantHook::new(self.quantization.clone(), true);
        hook.progress = 1.0;
        hook.keep_spreads(&self.graph, &self.params)?;
        let mut losses = Vec::new();
        for (x, labels) in batches {
            let mut tape = Tape::new();
            let forward = self.graph.forward_train(&mut self.params, &mut tape, x, &mut hook)?;
            let loss = ops::cross_entropy(&mut tape, forward.output, &labels, 0.0)?;
            losses.push(tape.value(loss).data()[0]);
            tape.backward(loss, Tensor::scalar(1.0))?;
            let grads: Vec<_> = forward.params.iter().map(|var| var.and_then(|var| tape.grad(var))).collect();
            sgd.step(&mut self.params, &grads, rate)?;
            engine::Hook::learn(&mut hook, &tape, rate)?;
        }
        self.params = hook.normalized_params(&self.params)?;
        self.quantization = hook.learned();
        Ok(losses)
    }

    /// The network without a float between image and logits: see [`int_graph`](crate::int_graph). An image has the shape
    /// `[H, W, C]` and pixels 0 to 255; `pixel(channel, p)` is what the float network sees for a pixel `p`.
    ///
    /// # Errors
    /// If a layer stays float (as by policy `course`), or a sum could overflow.
    pub fn lower(&self, image: [usize; 3], pixel: &dyn Fn(usize, u8) -> f32) -> Result<IntGraph> {
        let Self { graph, params, quantization } = self;
        lower::lower(&lower::Source { graph, params, quantization, image, pixel })
    }
}
