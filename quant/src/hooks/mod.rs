//! Quantization of a whole network, as hooks on its graph: observe, fake-quantize, simulate, run in integers.
//!
//! | hook | input of a layer | weight | arithmetic |
//! |---|---|---|---|
//! | [`CalibrateHook`] and its kin in [`observe`] | observed | as it is | float |
//! | [`FakeQuantHook`] | eq 1 and 3, range updated in training | eq 1 and 3, scale recomputed | float |
//! | [`SimulateHook`] | eq 1 | eq 1, once | the integers' sums, in exact floats |
//! | [`IntegerHook`] | eq 1 | eq 1, packed once | integers, eq 6 |
//!
//! The last three read the same [`Quantization`], so that they have the same ranges, weight scales and rounded bias. The
//! second differs from the others only in how floats round its sums; the third and the fourth do not differ.

pub mod fake_quant;
pub mod integers;
mod learned;
pub mod observe;
mod prepared;
pub mod simulate;
mod weight_rules;

use engine::{Error, Node, Result, Tape, Var};

pub use fake_quant::FakeQuantHook;
pub use integers::IntegerHook;
pub use observe::{CalibrateHook, FiniteHook, ObserveHook, check_finite};
pub use simulate::SimulateHook;

use crate::training::fake_quantize::fake_quantize_on;
use crate::{Quantization, Ste};

impl Quantization {
    /// The hook that simulates the integers in floats, rounding where they round.
    pub fn simulated(&self) -> SimulateHook {
        SimulateHook::new(self)
    }

    /// The hook that training computes with, its ranges frozen: sums of restored numbers, rounded as floats are.
    pub fn as_trained(&self) -> FakeQuantHook {
        FakeQuantHook::new(self.clone(), false)
    }

    /// The hook that computes every quantized layer in integers.
    ///
    /// # Errors
    /// If a weight has more than 8 bits, or a layer no range.
    pub fn integers(&self) -> Result<IntegerHook> {
        IntegerHook::new(self)
    }
}

/// Eq 1 and 3 for what enters a residual sum or a pool, where the plan quantizes it; without a gradient.
fn quantized_activation(quantization: &Quantization, tape: &mut Tape, node: &Node, x: Var) -> Result<Var> {
    let Some(bits) = quantization.plan.activation(&node.name) else { return Ok(x) };
    let q = quantization.ranges.params(&node.name, bits)?;
    fake_quantize_on(tape, x, &q, Ste::Identity).map_err(|e| in_layer(node, e))
}

/// Says in which layer an error arose.
pub(crate) fn in_layer(node: &Node, error: Error) -> Error {
    Error::value("quantize", format!("layer `{}`: {error}", node.name))
}
