//! Reverse-mode automatic differentiation: a tape of operations, played backward.
//!
//! Every operation appends its result to the tape together with an [`Op`] that knows the gradient. The
//! tape is therefore in topological order, and walking it from the loss to the leaves applies the chain
//! rule `dL/dx = sum over consumers (dL/dy * dy/dx)` (0a) once per node.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([3], vec![-1.0, 2.0, 3.0])?, true);
//! let y = ops::relu(&mut tape, x);
//! tape.backward(y, Tensor::full([3], 1.0))?;          // dL/dy = 1
//! assert_eq!(tape.grad(x).unwrap().data(), [0.0, 1.0, 1.0]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::{Error, Result, Tensor};

/// A value on a [`Tape`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Var(usize);

/// What an operation's backward pass may look at.
pub struct Record<'a> {
    tape: &'a Tape,
    inputs: &'a [Var],
    output: Var,
}

impl<'a> Record<'a> {
    /// The `i`-th input of the operation.
    pub fn input(&self, i: usize) -> &'a Tensor {
        self.tape.value(self.inputs[i])
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs.len()
    }

    /// The operation's result.
    pub fn output(&self) -> &'a Tensor {
        self.tape.value(self.output)
    }

    /// Whether anybody wants the gradient of input `i`.
    pub fn needs(&self, i: usize) -> bool {
        self.tape.nodes[self.inputs[i].0].needs_grad
    }
}

/// The backward half of an operation; its forward half is a plain function beside it.
pub trait Op {
    /// For error messages and profiles.
    fn name(&self) -> &'static str;

    /// From `dy = dL/dy` to the gradient of each input, in order; `None` where
    /// [`needs`](Record::needs) is false or the gradient is zero. Takes `dy` by value so that it can be
    /// changed in place and passed on.
    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>>;
}

struct TapeNode {
    value: Tensor,
    grad: Option<Tensor>,
    op: Option<Box<dyn Op>>,
    inputs: Vec<Var>,
    needs_grad: bool,
}

/// The recorded computation.
#[derive(Default)]
pub struct Tape {
    nodes: Vec<TapeNode>,
    inference: bool,
    played: bool,
}

impl Tape {
    /// A tape that records, for training.
    pub fn new() -> Self {
        Self::default()
    }

    /// A tape that keeps values but no operations, for inference.
    pub fn inference() -> Self {
        Self { inference: true, ..Self::default() }
    }

    /// Whether this tape records for a backward pass.
    pub fn records(&self) -> bool {
        !self.inference
    }

    /// Puts an input or a parameter on the tape.
    pub fn leaf(&mut self, value: Tensor, needs_grad: bool) -> Var {
        self.append(value, Vec::new(), None, needs_grad && !self.inference)
    }

    /// Appends the result `value` of an operation on `inputs`.
    pub fn push(&mut self, value: Tensor, inputs: &[Var], op: impl Op + 'static) -> Var {
        let needs_grad = inputs.iter().any(|v| self.nodes[v.0].needs_grad);
        if !needs_grad {
            return self.append(value, Vec::new(), None, false);
        }
        self.append(value, inputs.to_vec(), Some(Box::new(op)), true)
    }

    fn append(&mut self, value: Tensor, inputs: Vec<Var>, op: Option<Box<dyn Op>>, needs_grad: bool) -> Var {
        self.nodes.push(TapeNode { value, grad: None, op, inputs, needs_grad });
        Var(self.nodes.len() - 1)
    }

    /// The value of `var`. Empty once [released](Self::release) or passed by [`backward`](Self::backward).
    pub fn value(&self, var: Var) -> &Tensor {
        &self.nodes[var.0].value
    }

    /// Moves the value of `var` out of the tape. A value that a recorded operation has read or made must stay until
    /// [`backward`](Self::backward) has passed.
    pub fn take(&mut self, var: Var) -> Tensor {
        std::mem::replace(&mut self.nodes[var.0].value, Tensor::zeros([0]))
    }

    /// Frees the value of `var` if no backward pass will want it (inference: after its last use).
    pub fn release(&mut self, var: Var) {
        if self.inference {
            self.take(var);
        }
    }

    /// Plays the tape backward from `y`, given `dy = dL/dy` (for a scalar loss: 1).
    ///
    /// Afterwards the gradients of the leaves are in [`grad`](Self::grad). Each intermediate value is
    /// freed as soon as the walk has passed it, so that gradients reuse the memory of activations.
    ///
    /// # Errors
    /// If `dy` has not the shape of `y`, or the tape has been played backward before: it has been used up by that. Losses
    /// that share what they are computed from are to be added, and the sum played backward.
    pub fn backward(&mut self, y: Var, dy: Tensor) -> Result<()> {
        if std::mem::replace(&mut self.played, true) {
            return Err(Error::value(
                "backward",
                "this tape has been played backward already; record a new one",
            ));
        }
        let expected = self.nodes[y.0].value.shape();
        if dy.shape() != expected {
            return Err(Error::shape("backward", format!("dy {} for y {expected}", dy.shape())));
        }
        self.nodes[y.0].grad = Some(dy);
        // book: backward
        for i in (0..=y.0).rev() {
            let Some(op) = self.nodes[i].op.take() else { continue };
            let Some(dy) = self.nodes[i].grad.take() else { continue };
            let inputs = std::mem::take(&mut self.nodes[i].inputs);
            let gradients = op.backward(&Record { tape: self, inputs: &inputs, output: Var(i) }, dy);
            debug_assert_eq!(gradients.len(), inputs.len(), "{}: one gradient per input", op.name());
            for (input, dx) in inputs.iter().zip(gradients) {
                if let Some(dx) = dx {
                    self.accumulate(*input, dx)?;
                }
            }
            if i != y.0 {
                self.take(Var(i));
            }
        }
        // book end
        Ok(())
    }

    fn accumulate(&mut self, var: Var, dx: Tensor) -> Result<()> {
        let node = &mut self.nodes[var.0];
        if !node.needs_grad {
            return Ok(());
        }
        match &mut node.grad {
            Some(sum) => sum.add_assign(&dx)?,
            None => node.grad = Some(dx),
        }
        Ok(())
    }

    /// The gradient of a leaf after [`backward`](Self::backward); `None` if nothing depends on it.
    pub fn grad(&self, var: Var) -> Option<&Tensor> {
        self.nodes[var.0].grad.as_ref()
    }

    /// Moves the gradient of a leaf out of the tape.
    pub fn take_grad(&mut self, var: Var) -> Option<Tensor> {
        self.nodes[var.0].grad.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops;

    #[test]
    fn a_tape_is_played_backward_once() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::full([2], 3.0), true);
        let (h, one) = (ops::relu(&mut tape, x), || Tensor::full([2], 1.0));
        let (a, b) = (ops::add(&mut tape, h, h).unwrap(), ops::add(&mut tape, h, x).unwrap());
        tape.backward(a, one()).unwrap();
        let message = tape.backward(b, one()).unwrap_err().to_string();
        assert!(message.contains("already"), "{message}");
        assert_eq!(tape.grad(x).unwrap().data(), [2.0, 2.0]);
    }

    #[test]
    fn gradients_of_a_value_used_twice_add_up() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::full([2], 3.0), true);
        let y = ops::add(&mut tape, x, x).unwrap();
        tape.backward(y, Tensor::full([2], 1.0)).unwrap();
        assert_eq!(tape.grad(x).unwrap().data(), [2.0, 2.0]);
    }

    #[test]
    fn an_inference_tape_records_nothing() {
        let mut tape = Tape::inference();
        let x = tape.leaf(Tensor::full([2], 3.0), true);
        let y = ops::relu(&mut tape, x);
        tape.backward(y, Tensor::full([2], 1.0)).unwrap();
        assert!(tape.grad(x).is_none());
    }

    #[test]
    fn a_wrong_dy_is_refused() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::full([2], 3.0), true);
        let error = tape.backward(x, Tensor::full([3], 1.0)).unwrap_err();
        assert_eq!(error.to_string(), "backward: dy [3] for y [2]");
    }
}
