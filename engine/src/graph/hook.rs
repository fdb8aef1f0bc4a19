//! What quantization changes in a network: a hook at every layer with weights.

use crate::ops::InputMap;
use crate::{Node, Result, Tape, Tensor, Var};

/// Called by the interpreter at each layer with weights. The default of every method is to change nothing.
pub trait Hook {
    /// Replaces the layer altogether: its result from its input, weight and bias as they are, or `None` to go
    /// on. (Integer arithmetic lives here; nothing is recorded for a backward pass.)
    ///
    /// # Errors
    /// Whatever keeps the hook from doing its work; the run stops with it.
    fn compute(&mut self, _: &Node, _x: &Tensor, _w: &Tensor, _b: Option<&Tensor>) -> Result<Option<Tensor>> {
        Ok(None)
    }

    /// What the layer sees as its input.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn input(&mut self, _: &mut Tape, _: &Node, x: Var) -> Result<Var> {
        Ok(x)
    }

    /// What the layer sees as its input, as a function that the layer computes itself; asked in training of
    /// convolutions that can, and if it is `None`, [`input`](Self::input) is asked.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn input_map(&mut self, _: &Tape, _: &Node, _x: Var) -> Result<Option<Box<dyn InputMap>>> {
        Ok(None)
    }

    /// What the layer sees as its weight.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn weight(&mut self, _: &mut Tape, _: &Node, w: Var) -> Result<Var> {
        Ok(w)
    }

    /// What the layer sees as its bias, if it has one; called after [`input`](Self::input) and
    /// [`weight`](Self::weight).
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn bias(&mut self, _: &mut Tape, _: &Node, b: Var) -> Result<Var> {
        Ok(b)
    }

    /// What a residual sum sees as its second input, or a pool as its only one.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn edge(&mut self, _: &mut Tape, _: &Node, x: Var) -> Result<Var> {
        Ok(x)
    }

    /// Called after the backward pass of a training step, with the step's learning rate: a hook that put numbers of its
    /// own on the tape moves them by their gradients.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn learn(&mut self, _: &Tape, _rate: f32) -> Result<()> {
        Ok(())
    }

    /// Sees the result of every node that is computed on its own (a batch norm that is fused with the ReLU
    /// behind it shows only the ReLU, and in training a convolution that is fused with its batch norm is not shown).
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn output(&mut self, _: &Node, _y: &Tensor) -> Result<()> {
        Ok(())
    }
}

/// The hook that changes nothing: the network in floats.
pub struct Float;

impl Hook for Float {}
