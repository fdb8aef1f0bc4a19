//! What [`FakeQuantHook`] does to a weight beside rounding it: normalisation before (9g), damping after (9h).

use engine::{Node, Params, Result, Tape, Var};

use super::{FakeQuantHook, in_layer};
use crate::QParams;
use crate::training::damping::damp_on;
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
}
