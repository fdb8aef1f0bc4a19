//! Rectified linear unit: `y = max(x, 0)`. NaN stays NaN, so that a loss that is not a number is seen as one.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([2], vec![-1.0, 2.0])?, true);
//! let y = ops::relu(&mut tape, x);
//! assert_eq!(tape.value(y).data(), [0.0, 2.0]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::{Op, Record, Tape, Tensor, Var};

/// `y = max(x, 0)`, element by element; NaN where `x` is.
pub fn relu(tape: &mut Tape, x: Var) -> Var {
    let y = tape.value(x).map(|x| if x < 0.0 { 0.0 } else { x });
    tape.push(y, &[x], Relu)
}

struct Relu;

impl Op for Relu {
    fn name(&self) -> &'static str {
        "relu"
    }

    // book: backward
    /// `dx = dy` where `y > 0`, else 0 (the subgradient at 0 is taken as 0).
    fn backward(&self, record: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        for (dy, &y) in dy.data_mut().iter_mut().zip(record.output().data()) {
            *dy = if y > 0.0 { *dy } else { 0.0 };
        }
        vec![Some(dy)]
    }
    // book end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_is_not_hidden() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::from_vec([3], vec![-1.0, f32::NAN, 2.0]).unwrap(), false);
        let y = relu(&mut tape, x);
        assert!(tape.value(y).data()[1].is_nan());
        assert_eq!([0, 2].map(|i| tape.value(y).data()[i]), [0.0, 2.0]);
    }
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        check(&[wave([20], 1)], 1e-3, |tape, v| relu(tape, v[0]));
    }

    #[test]
    fn value_and_gradient() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::from_vec([4], vec![-2.0, 0.0, 0.5, 3.0]).unwrap(), true);
        let y = relu(&mut tape, x);
        assert_eq!(tape.value(y).data(), [0.0, 0.0, 0.5, 3.0]);
        tape.backward(y, Tensor::full([4], 7.0)).unwrap();
        assert_eq!(tape.grad(x).unwrap().data(), [0.0, 0.0, 7.0, 7.0]);
    }
}
