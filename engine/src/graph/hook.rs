//! What quantization changes in a network: a hook at every layer with weights.

use crate::ops::InputMap;
use crate::{Graph, Node, Params, Result, Tape, Tensor, Var};

/// A value on its way into a layer.
#[derive(Clone, Copy, Debug)]
pub struct Incoming {
    /// Where it stands on the tape.
    pub var: Var,
    /// Its smallest and largest number, if whoever computed it has looked.
    pub range: Option<[f32; 2]>,
}

/// What a layer with weights would compute with in floats.
#[derive(Clone, Copy, Debug)]
pub struct Operands {
    /// Its input.
    pub x: Incoming,
    /// Its weight, the parameter.
    pub w: Var,
    /// Its bias, if it has one.
    pub b: Option<Var>,
}

/// What a layer with weights computes with.
pub struct LayerQuant {
    /// In place of its input.
    pub input: Input,
    /// In place of its weight.
    pub weight: Var,
    /// In place of its bias.
    pub bias: Option<Var>,
}

/// What a layer sees as its input.
pub enum Input {
    /// A value on the tape: the input itself, or what has been made of it.
    Value(Var),
    /// A function of the layer's input, which the layer is to apply.
    Map(Box<dyn InputMap>),
}

impl From<Operands> for LayerQuant {
    /// Everything as it is.
    fn from(Operands { x, w, b }: Operands) -> Self {
        Self { input: Input::Value(x.var), weight: w, bias: b }
    }
}

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

    // book: layer
    /// What the layer computes with; asked once per layer and pass. A hook may put leaves of its own on the tape (step
    /// sizes that are learned) and find their gradients there after the backward pass.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn layer(&mut self, _: &mut Tape, _: &Node, operands: Operands) -> Result<LayerQuant> {
        Ok(operands.into())
    }
    // book end

    /// What a residual sum sees as its second input, or a pool as its only one.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn activation(&mut self, _: &mut Tape, _: &Node, x: Incoming) -> Result<Var> {
        Ok(x.var)
    }

    /// What a batch norm sees as its input. Not asked where the convolution in front of it is computed at once with it, as
    /// the fast interpreter does in training: its input is nowhere then.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn normalize(&mut self, _: &mut Tape, _: &Node, x: Incoming) -> Result<Var> {
        Ok(x.var)
    }

    /// Called after the backward pass of a training step, with the step's learning rate: a hook that put numbers of its
    /// own on the tape moves them by their gradients.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn learn(&mut self, _: &Tape, _rate: f32) -> Result<()> {
        Ok(())
    }

    /// Called after a training step has updated the parameters: a hook may hold some of them where they are to stay.
    ///
    /// # Errors
    /// As for [`compute`](Self::compute).
    fn updated(&mut self, _: &Graph, _params: &mut Params) -> Result<()> {
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
