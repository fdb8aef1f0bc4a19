//! The fully connected layer: `y = x w^T + b`, that is `y[n, o] = sum_i x[n, i] w[o, i] + b[o]`.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([1, 2], vec![1., 2.])?, true);
//! let w = tape.leaf(Tensor::from_vec([1, 2], vec![3., 4.])?, true);
//! let b = tape.leaf(Tensor::from_vec([1], vec![0.5])?, true);
//! let y = ops::linear(&mut tape, x, w, b)?;
//! assert_eq!(tape.value(y).data(), [11.5]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::gemm::{Matrix, gemm};
use crate::{Error, Op, Record, Result, Tape, Tensor, Var};

/// `x [N, I]`, `w [O, I]`, `b [O]` to `y [N, O]`.
///
/// # Errors
/// If the shapes do not fit, or I or O is 0.
pub fn linear_forward(x: &Tensor, w: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (&[n, i], &[o, wi], &[bo]) = (x.dims(), w.dims(), b.dims()) else {
        let detail =
            format!("needs x [N, I], w [O, I], b [O]; got {}, {}, {}", x.shape(), w.shape(), b.shape());
        return Err(Error::shape("linear", detail));
    };
    if wi != i || bo != o || i == 0 || o == 0 {
        let detail = format!("x {}, w {} and b {} do not fit", x.shape(), w.shape(), b.shape());
        return Err(Error::shape("linear", detail));
    }
    let mut y = Tensor::scratch([n, o]);
    for row in y.data_mut().chunks_exact_mut(o) {
        row.copy_from_slice(b.data());
    }
    gemm(Matrix::new(x.data(), n, i), Matrix::new(w.data(), o, i).t(), 1.0, y.data_mut());
    Ok(y)
}

/// The same by its definition, summed in `f64`.
pub fn linear_ref(x: &Tensor, w: &Tensor, b: &Tensor) -> Tensor {
    let ([n, i], o) = ([x.dims()[0], x.dims()[1]], w.dims()[0]);
    Tensor::from_fn([n, o], |at| {
        let (x, w) = (&x.data()[at / o * i..][..i], &w.data()[at % o * i..][..i]);
        let sum: f64 = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
        (sum + f64::from(b.data()[at % o])) as f32
    })
}

/// [`linear_forward`], recorded.
///
/// # Errors
/// If the shapes do not fit, or I or O is 0.
pub fn linear(tape: &mut Tape, x: Var, w: Var, b: Var) -> Result<Var> {
    let y = linear_forward(tape.value(x), tape.value(w), tape.value(b))?;
    Ok(tape.push(y, &[x, w, b], Linear))
}

struct Linear;

impl Op for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    /// `dx = dy w`, `dw = dy^T x`, `db[o] = sum_n dy[n, o]`.
    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, w) = (record.input(0), record.input(1));
        let (n, i, o) = (x.dims()[0], x.dims()[1], w.dims()[0]);
        let (mx, mw) = (Matrix::new(x.data(), n, i), Matrix::new(w.data(), o, i));
        let mdy = Matrix::new(dy.data(), n, o);
        let dx = record.needs(0).then(|| {
            let mut dx = Tensor::scratch(x.shape());
            gemm(mdy, mw, 0.0, dx.data_mut());
            dx
        });
        let dw = record.needs(1).then(|| {
            let mut dw = Tensor::scratch(w.shape());
            gemm(mdy.t(), mx, 0.0, dw.data_mut());
            dw
        });
        let db = record.needs(2).then(|| {
            let mut db = Tensor::zeros([o]);
            for row in dy.data().chunks_exact(o) {
                for (db, dy) in db.data_mut().iter_mut().zip(row) {
                    *db += dy;
                }
            }
            db
        });
        vec![dx, dw, db]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn a_small_case_by_hand() {
        let x = Tensor::from_vec([1, 2], vec![1.0, 2.0]).unwrap();
        let w = Tensor::from_vec([2, 2], vec![3.0, 4.0, 5.0, 6.0]).unwrap();
        let b = Tensor::from_vec([2], vec![0.5, -0.5]).unwrap();
        assert_eq!(linear_forward(&x, &w, &b).unwrap().data(), [11.5, 16.5]);
    }

    #[test]
    fn equals_the_definition() {
        for [n, i, o] in [[1, 1, 1], [7, 64, 10], [3, 5, 17]] {
            let (x, w, b) = (wave([n, i], 1), wave([o, i], 2), wave([o], 3));
            let (y, expected) = (linear_forward(&x, &w, &b).unwrap(), linear_ref(&x, &w, &b));
            assert!(y.data().iter().zip(expected.data()).all(|(y, e)| (y - e).abs() <= 1e-6 * i as f32));
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        let inputs = [wave([3, 4], 1), wave([2, 4], 2), wave([2], 3)];
        check(&inputs, 1e-3, |tape, v| linear(tape, v[0], v[1], v[2]).unwrap());
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let error = linear_forward(&wave([3, 4], 1), &wave([2, 5], 2), &wave([2], 3)).unwrap_err();
        assert_eq!(error.to_string(), "linear: x [3, 4], w [2, 5] and b [2] do not fit");
    }
}
