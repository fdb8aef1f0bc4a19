//! Addition, the residual connection: `y = a + b`.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let [a, b] = [1.0, 2.0].map(|v| tape.leaf(Tensor::full([2], v), true));
//! let y = ops::add(&mut tape, a, b)?;
//! assert_eq!(tape.value(y).data(), [3.0, 3.0]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::{Op, Record, Result, Tape, Tensor, Var};

/// `y = a + b`, element by element.
///
/// # Errors
/// If the shapes differ.
pub fn add(tape: &mut Tape, a: Var, b: Var) -> Result<Var> {
    let mut y = tape.value(a).clone();
    y.add_assign(tape.value(b))?;
    Ok(tape.push(y, &[a, b], Add))
}

struct Add;

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    /// `da = dy`, `db = dy`.
    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let db = record.needs(1).then(|| dy.clone());
        vec![Some(dy), db]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        check(&[wave([5], 1), wave([5], 2)], 1e-3, |tape, v| add(tape, v[0], v[1]).unwrap());
    }

    #[test]
    fn value_and_gradient() {
        let mut tape = Tape::new();
        let a = tape.leaf(Tensor::from_vec([2], vec![1.0, 2.0]).unwrap(), true);
        let b = tape.leaf(Tensor::from_vec([2], vec![10.0, 20.0]).unwrap(), true);
        let y = add(&mut tape, a, b).unwrap();
        assert_eq!(tape.value(y).data(), [11.0, 22.0]);
        tape.backward(y, Tensor::from_vec([2], vec![3.0, 4.0]).unwrap()).unwrap();
        assert_eq!(tape.grad(a).unwrap().data(), [3.0, 4.0]);
        assert_eq!(tape.grad(b).unwrap().data(), [3.0, 4.0]);
    }

    #[test]
    fn different_shapes_are_refused() {
        let mut tape = Tape::new();
        let a = tape.leaf(Tensor::zeros([2]), true);
        let b = tape.leaf(Tensor::zeros([3]), true);
        assert_eq!(add(&mut tape, a, b).unwrap_err().to_string(), "add: shapes [2] and [3] differ");
    }
}
