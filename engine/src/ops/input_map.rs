//! Functions that a layer applies to its input on the way in.

use crate::{Result, Tape, Var};

/// A function of each element of a layer's input, with its gradient. Fake quantization of activations is one.
pub trait InputMap: Send + Sync {
    /// `y = f(x)`, element by element.
    ///
    /// # Errors
    /// If `f` has no value for an element.
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()>;

    /// From `dL/dy` to `dL/dx`, in place.
    fn backward(&self, x: &[f32], dy: &mut [f32]);

    /// `f` of a whole tensor as an operation of its own, for a layer that does not compute the function itself: the same
    /// numbers, forward and backward.
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    fn record(&self, tape: &mut Tape, x: Var) -> Result<Var>;
}
