//! What [`FakeQuantHook`] does to a weight beside rounding it: normalisation before (9g), damping after (9h), freezing when it has
//! been updated (9k).

use engine::{Graph, Node, Params, Result, Tape, Tensor, Var};

use super::{FakeQuantHook, in_layer};
use crate::QParams;
use crate::training::damping::damp_on;
use crate::training::freezing::{Oscillations, threshold};
use crate::training::weight_norm::{normalize_weight, normalize_weight_on, spread};

impl FakeQuantHook {
    /// Takes from `start`, the parameters that training begins with, the spread that each layer's weights keep; nothing
    /// where the configuration does not normalise.
    ///
    /// # Errors
    /// If all weights of a layer are equal.
    pub fn keep_spreads(&mut self, graph: &engine::Graph, start: &Params) -> Result<()> {
        let normalized = self.quantization.config.weight_norm;
        for node in graph.weighted().filter(|_| normalized) {
            // A dropped layer has nothing to normalise.
            if self.quantization.plan.get(&node.name).is_some_and(|widths| widths.w > 0) {
                let w = start.get(&format!("{}.weight", node.name))?;
                self.spreads.insert(node.name.clone(), spread(w).map_err(|e| in_layer(node, e))?);
            }
        }
        Ok(())
    }

    /// `params` as the layers see them: normalised weights where training normalises. Evaluation, files and integers
    /// take these as they are.
    ///
    /// # Errors
    /// If all weights of a layer are equal.
    pub fn normalized_params(&self, params: &Params) -> Result<Params> {
        let mut params = params.clone();
        for (layer, &spread) in &self.spreads {
            let w = params.get_mut(&format!("{layer}.weight"))?;
            *w = normalize_weight(w, spread)?;
        }
        Ok(params)
    }

    /// The weight `w` of `node` as it goes into rounding.
    pub(super) fn normalized(&self, tape: &mut Tape, node: &Node, w: Var) -> Result<Var> {
        match self.spreads.get(&node.name) {
            Some(&spread) => normalize_weight_on(tape, w, spread),
            None => Ok(w),
        }
    }

    /// The rounded weight `w_hat` of `w`, with the pull of (9h) where training damps.
    pub(super) fn damped(&self, tape: &mut Tape, w: Var, w_hat: Var, q: &QParams) -> Var {
        let lambda = self.quantization.config.damping * self.progress;
        if !self.training || lambda == 0.0 {
            return w_hat;
        }
        damp_on(tape, w, w_hat, q, lambda)
    }

    /// Freezes the weights of `params` that jump to and fro (9k), and puts those that are frozen back to their codes; nothing where
    /// the configuration freezes none.
    pub(super) fn freeze(&mut self, graph: &Graph, params: &mut Params) -> Result<()> {
        let end = self.quantization.config.freezing;
        if !self.training || end == 0.0 {
            return Ok(());
        }
        let threshold = threshold(end, self.progress);
        for node in graph.weighted() {
            let Some(bits) = self.quantization.plan.get(&node.name).map(|widths| widths.w) else { continue };
            if bits == 0 {
                continue; // a dropped layer has no codes
            }
            let w = params.get_mut(&format!("{}.weight", node.name))?;
            let q = self.next_weight_params(&node.name, w, bits)?;
            match self.oscillations.get_mut(&node.name) {
                Some(seen) => seen.follow(w, &q, threshold)?,
                None => _ = self.oscillations.insert(node.name.clone(), Oscillations::new(w, &q)?),
            }
        }
        Ok(())
    }

    /// The quantizer that the next step rounds the weight of `layer` with.
    fn next_weight_params(&self, layer: &str, w: &Tensor, bits: u32) -> Result<QParams> {
        match self.steps.known(&format!("{layer}.weight")) {
            Some(steps) => self.quantization.fixed_params(layer, &steps, w.dims()[0], bits),
            None => self.quantization.weight_params(layer, w, bits),
        }
    }

    /// The share of the weights that are frozen; `None` where none can be.
    pub fn frozen_share(&self) -> Option<f64> {
        let (mut frozen, mut all) = (0, 0);
        for seen in self.oscillations.values() {
            frozen += seen.frozen();
            all += seen.state()[0].1.len();
        }
        (all > 0).then(|| frozen as f64 / all as f64)
    }
}
