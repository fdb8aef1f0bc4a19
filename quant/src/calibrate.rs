//! What is seen of a network's activations before they are quantized: their distribution, and that they are finite.

use std::collections::BTreeMap;

use engine::{Error, Hook, Incoming, LayerQuant, Node, Operands, Result, Tape, Tensor, Var};
use rayon::prelude::*;

use crate::hook::in_layer;
use crate::{Histogram, Observer, Plan, Ranges, ScaleRule};

/// Watches the input of every layer with weights; changes nothing.
#[derive(Clone, Debug, Default)]
pub struct CalibrateHook {
    /// What was seen, by layer name.
    pub histograms: BTreeMap<String, Histogram>,
}

impl CalibrateHook {
    /// The range of every layer that `plan` quantizes, by `rule`.
    ///
    /// # Errors
    /// If such a layer has seen nothing.
    pub fn ranges(&self, plan: &Plan, rule: ScaleRule) -> Result<Ranges> {
        let mut ranges = BTreeMap::new();
        for (layer, bits) in plan.inputs() {
            let histogram = self.histograms.get(layer);
            let range = histogram.map(|h| h.clip_range(rule, bits)).transpose()?.flatten();
            let Some(range) = range else {
                return Err(Error::value("calibrate", format!("layer `{layer}` has seen no activations")));
            };
            ranges.insert(layer.to_owned(), range);
        }
        Ok(Ranges(ranges))
    }

    fn observe(&mut self, node: &Node, x: &Tensor) -> Result<()> {
        check_finite(node, x)?;
        let histogram = self.histograms.entry(node.name.clone()).or_default();
        histogram.observe(x.data()).map_err(|e| in_layer(node, e))
    }
}

impl Hook for CalibrateHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        self.observe(node, tape.value(operands.x.var))?;
        Ok(operands.into())
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        self.observe(node, tape.value(x.var))?;
        Ok(x.var)
    }
}

/// Refuses what enters `node` if it is not finite. Layers come in the network's order, so that the first one is named:
/// what follows it, and a bias corrected by it, is not finite because of it.
///
/// # Errors
/// Naming the layer, the place and the value.
pub fn check_finite(node: &Node, x: &Tensor) -> Result<()> {
    let Some(i) = x.data().par_iter().position_first(|v| !v.is_finite()) else { return Ok(()) };
    let detail = format!(
        "what enters layer `{}` is not finite ({} at {i} of {}): the network's numbers overflow before it; look at \
         the weights and batch norms of the layers in front of it",
        node.name,
        x.data()[i],
        x.shape()
    );
    Err(Error::value("activations", detail))
}

/// Refuses activations that are not finite ([`check_finite`]), and changes nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct FiniteHook;

impl Hook for FiniteHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        check_finite(node, tape.value(operands.x.var))?;
        Ok(operands.into())
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        check_finite(node, tape.value(x.var))?;
        Ok(x.var)
    }
}
