//! Activation ranges from a few images: the float network runs, the input of every layer is watched, and a rule chooses
//! what range its quantizer covers. No gradients, no labels.

use engine::{Graph, Hook, Params, Result, Tensor};

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
    match rule {
        ActivationRule::Scale(rule) => {
            let mut hook = CalibrateHook::default();
            run_all(graph, params, images, &mut hook)?;
            hook.ranges(plan, rule)
        }
        ActivationRule::MovingAverage => {
            let mut hook = ObserveHook::<MovingAverage>::default();
            run_all(graph, params, images, &mut hook)?;
            hook.ranges_by(plan, |average, _bits| Ok(average.range()))
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
