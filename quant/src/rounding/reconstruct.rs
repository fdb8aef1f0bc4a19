//! The reconstruction: unit after unit, the quantized network is brought to give what the float one gives.
//!
//! ```text
//! minimise over v, s_x, ...     E sum_c ( f(x) - f_q(x_q) )^2  +  lambda sum ( 1 - |2 h(v) - 1|^beta )
//! ```
//!
//! `f` is the float unit and `x` its input in the float network; `f_q` is the unit with soft-rounded weights and rounded
//! activations, and `x_q` its input in the quantized network so far: the units in front of it are finished, and their
//! error is part of the problem. Adam follows the gradient on batches of cached inputs and outputs. There are no labels.

use engine::{Float, Params, Result, Tensor};

use super::cache::{Values, with_views};
use super::learner::{Examples, Learner};
use super::method::{Method, UnitRule};
use super::units;
use crate::Quantized;

/// How far the reconstruction is: for a progress bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Report<'a> {
    /// Iterations done, of all units.
    pub done: usize,
    /// Iterations of all units.
    pub of: usize,
    /// The node with which the unit at hand ends.
    pub unit: &'a str,
    /// Iterations of this unit done.
    pub iteration: usize,
    /// `E sum_c (f - f_q)^2` of the last batch.
    pub error: f64,
}

/// Reconstructs every unit of `quantized` by `method`; `float` holds the parameters of the float network. Afterwards the
/// quantized weights are scales times integers, and the scales are fixed.
///
/// # Errors
/// If the images do not fit, or a layer has no range.
pub fn reconstruct(
    quantized: &mut Quantized,
    float: &Params,
    images: impl Iterator<Item = Tensor>,
    method: &Method,
    seed: u64,
    report: &mut dyn FnMut(Report<'_>),
) -> Result<()> {
    let graph = quantized.graph.clone();
    let mut images = Values::of_images(images)?;
    if method.views > 1 {
        images.all = with_views(&images.all, method.views, seed)?;
    }
    let units = match method.units {
        UnitRule::Layers => units::layers(&graph),
        UnitRule::Blocks => units::join_dropped(&graph, units::blocks(&graph), |layer| {
            quantized.quantization.plan.get(layer).is_some_and(|widths| widths.w == 0)
        }),
    };
    let (mut x, mut x_q) = (images.at(&graph, float, 0, &mut Float)?, images);
    for (number, &unit) in units.iter().enumerate() {
        let from = x.at(&graph, float, unit.from, &mut Float)?;
        let examples = Examples {
            y: from.at(&graph, float, unit.to, &mut Float)?,
            x: from,
            x_q: x_q.at(&graph, &quantized.params, unit.from, &mut quantized.quantization.simulated())?,
        };
        let mut learner = Learner::new(quantized, unit, method)?;
        for iteration in 0..if learner.learns() { method.iterations } else { 0 } {
            let error = learner.step(&examples, (seed, number, iteration))?;
            report(Report {
                done: number * method.iterations + iteration + 1,
                of: units.len() * method.iterations,
                unit: &graph.nodes()[unit.to].name,
                iteration: iteration + 1,
                error,
            });
        }
        if learner.learns() {
            learner.finish(quantized)?;
        }
        if method.units == UnitRule::Blocks {
            // The next unit begins where this one ends.
            let mut hook = quantized.quantization.simulated();
            x_q = examples.x_q.at(&graph, &quantized.params, unit.to, &mut hook)?;
            x = examples.y;
        }
    }
    Ok(())
}
