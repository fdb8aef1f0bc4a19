//! Activation ranges from a few images: the float network runs, the input of every layer is watched, and a rule chooses
//! what range its quantizer covers. No gradients, no labels.

use std::collections::BTreeMap;

use engine::{Error, Graph, Hook, Incoming, LayerQuant, Node, Operands, Params, Result, Tape, Tensor, Var};

use super::ActivationRule;
use crate::{CalibrateHook, MovingAverage, Observer, Plan, Ranges, check_finite};

/// The range of each quantized layer's input over batches of `images`, seen by the float network.
///
/// # Errors
/// If there are no images, or an activation is not finite: the first layer it enters is named.
pub fn calibrate(
    graph: &Graph,
    params: &Params,
    plan: &Plan,
    rule: ActivationRule,
    images: impl Iterator<Item = Tensor>,
) -> Result<Ranges> {
    match rule {
        ActivationRule::Scale(rule) => {
            let mut hook = CalibrateHook::default();
            run_all(graph, params, images, &mut hook)?;
            hook.ranges(plan, rule)
        }
        ActivationRule::MovingAverage => {
            let mut hook = AverageHook::default();
            run_all(graph, params, images, &mut hook)?;
            let ranges = plan.inputs().map(|(layer, _)| {
                let range = hook.averages.get(layer).and_then(Observer::range);
                let unseen = || Error::value("calibrate", format!("layer `{layer}` has seen no activations"));
                Ok((layer.to_owned(), range.ok_or_else(unseen)?))
            });
            Ok(Ranges(ranges.collect::<Result<_>>()?))
        }
    }
}

fn run_all(
    graph: &Graph,
    params: &Params,
    images: impl Iterator<Item = Tensor>,
    hook: &mut dyn Hook,
) -> Result<()> {
    for x in images {
        graph.infer(params, x, hook)?;
    }
    Ok(())
}

/// The moving average of the extremes of every layer's input.
#[derive(Default)]
struct AverageHook {
    averages: BTreeMap<String, MovingAverage>,
}

impl AverageHook {
    fn observe(&mut self, node: &Node, x: &Tensor) -> Result<()> {
        check_finite(node, x)?;
        self.averages.entry(node.name.clone()).or_default().observe(x.data())
    }
}

impl Hook for AverageHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        self.observe(node, tape.value(operands.x.var))?;
        Ok(operands.into())
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        self.observe(node, tape.value(x.var))?;
        Ok(x.var)
    }
}
