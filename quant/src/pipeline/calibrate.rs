//! Activation ranges from a few images: the float network runs, the input of every layer is watched, and a rule chooses
//! what range its quantizer covers. No gradients, no labels.

use engine::{Float, Graph, Hook, Incoming, LayerQuant, Node, Operands, Params, Result, Tape, Tensor, Var};

use super::ActivationRule;
use crate::{CalibrateHook, MovingAverage, ObserveHook, Observer, Plan, Ranges};

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
    calibrate_under(&mut Float, graph, params, plan, rule, images)
}

/// [`calibrate`] with what the network shows as `inner` computes it, which need not be in floats.
pub(super) fn calibrate_under(
    inner: &mut dyn Hook,
    graph: &Graph,
    params: &Params,
    plan: &Plan,
    rule: ActivationRule,
    images: impl Iterator<Item = Tensor>,
) -> Result<Ranges> {
    match rule {
        ActivationRule::Scale(rule) => {
            let mut hook = Watched { observer: CalibrateHook::default(), inner };
            run_all(graph, params, images, &mut hook)?;
            hook.observer.ranges(plan, rule)
        }
        ActivationRule::MovingAverage => {
            let mut hook = Watched { observer: ObserveHook::<MovingAverage>::default(), inner };
            run_all(graph, params, images, &mut hook)?;
            hook.observer.ranges_by(plan, |average, _bits| Ok(average.range()))
        }
    }
}

/// A hook whose inputs are observed.
struct Watched<'a, O> {
    observer: ObserveHook<O>,
    inner: &'a mut dyn Hook,
}

impl<O: Observer + Default> Hook for Watched<'_, O> {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        self.observer.layer(tape, node, operands)?;
        self.inner.layer(tape, node, operands)
    }

    fn activation(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> Result<Var> {
        self.observer.activation(tape, node, x)?;
        self.inner.activation(tape, node, x)
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
