//! What is seen of a network's activations before they are quantized: their distribution, and that they are finite.

use std::collections::BTreeMap;

use engine::{Error, Hook, Incoming, LayerQuant, Node, Operands, Result, Tape, Tensor, Var};
use rayon::prelude::*;

use super::in_layer;
use crate::{Histogram, Observer, Plan, Range, Ranges, ScaleRule};

/// Watches the input of every layer with weights, residual sum and pool by an observer of its own; changes nothing.
#[derive(Clone, Debug, Default)]
pub struct ObserveHook<O> {
    /// What was seen, by the name of the node.
    pub observers: BTreeMap<String, O>,
}

/// The distribution of every input, from which any [`ScaleRule`] chooses a range.
pub type CalibrateHook = ObserveHook<Histogram>;

impl CalibrateHook {
    /// The range of every input that `plan` quantizes, by `rule`.
    ///
    /// # Errors
    /// If there is an input that has not been seen.
    pub fn ranges(&self, plan: &Plan, rule: ScaleRule) -> Result<Ranges> {
        self.ranges_by(plan, |histogram, bits| histogram.clip_range(rule, bits))
    }
}

impl<O: Observer + Default> ObserveHook<O> {
    /// The range of every input that `plan` quantizes, which `range` reads off its observer.
    ///
    /// # Errors
    /// If there is an input that has not been seen, or `range` fails.
    pub fn ranges_by(&self, plan: &Plan, range: impl Fn(&O, u32) -> Result<Option<Range>>) -> Result<Ranges> {
        let ranges = plan.inputs().map(|(layer, bits)| {
            let seen = self.observers.get(layer).map(|observer| range(observer, bits)).transpose()?.flatten();
            let unseen = || Error::value("calibrate", format!("layer `{layer}` has seen no activations"));
            Ok((layer.to_owned(), seen.ok_or_else(unseen)?))
        });
        Ok(Ranges(ranges.collect::<Result<_>>()?))
    }

    fn observe(&mut self, node: &Node, x: &Tensor) -> Result<()> {
        check_finite(node, x)?;
        let observer = self.observers.entry(node.name.clone()).or_default();
        observer.observe(x.data()).map_err(|e| in_layer(node, e))
    }
}

impl<O: Observer + Default> Hook for ObserveHook<O> {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        self.observe(node, tape.value(operands.x.var))?;
        Ok(operands.into())
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
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
         the weights and batch norms of the layers in front of it (in training: lower the learning rate)",
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

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        check_finite(node, tape.value(x.var))?;
        Ok(x.var)
    }
}
