//! Two-dimensional convolution (cross-correlation, as every framework means it), NHWC:
//!
//! `y[n, oy, ox, o] = b[o] + sum over kh, kw, c of x[n, oy s + kh - p, ox s + kw - p, c] * w[o, kh, kw, c]`,
//!
//! pixels outside the image being zero. Shapes: `x [N, H, W, C]`, `w [O, KH, KW, C]`, `y [N, OH, OW, O]`,
//! `OH = (H + 2p - KH) / s + 1`. The gradients walk over the same products: each `x w` that was added to a `y` sends
//! `dy w` to its `x` and `dy x` to its `w`.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([1, 1, 3, 1], vec![1., 2., 4.])?, true);
//! let w = tape.leaf(Tensor::from_vec([1, 1, 2, 1], vec![-1., 1.])?, true); // the difference of neighbours
//! let y = ops::conv2d(&mut tape, x, w, None, 1, 0)?;
//! assert_eq!(tape.value(y).data(), [1.0, 2.0]);
//! # Ok::<(), engine::Error>(())
//! ```

mod shape;

pub use shape::{Conv2dShape, extent};

use crate::{Error, Op, Record, Result, Tape, Tensor, Var};

/// The convolution, recorded. The bias is optional: a batch norm that follows makes it useless.
///
/// # Errors
/// If the shapes do not fit.
pub fn conv2d(tape: &mut Tape, x: Var, w: Var, b: Option<Var>, stride: usize, padding: usize) -> Result<Var> {
    let s = Conv2dShape::new(tape.value(x).shape(), tape.value(w).shape(), stride, padding)?;
    let bias = b.map(|b| tape.value(b));
    if let Some(b) = bias.filter(|b| b.len() != s.o) {
        return Err(Error::shape("conv2d", format!("{} output channels but b {}", s.o, b.shape())));
    }
    let y = conv2d_ref(&s, tape.value(x), tape.value(w), bias);
    let inputs: Vec<Var> = [Some(x), Some(w), b].into_iter().flatten().collect();
    Ok(tape.push(y, &inputs, Conv2d { s }))
}

/// The convolution by its definition, summed in `f64`.
pub fn conv2d_ref(s: &Conv2dShape, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    Tensor::from_fn(s.y(), |i| {
        let mut sum = b.map_or(0.0, |b| f64::from(b.data()[i % s.o]));
        s.for_each_product(i, |x_i, w_i| sum += f64::from(x.data()[x_i]) * f64::from(w.data()[w_i]));
        sum as f32
    })
}

/// `dx` and `dw` from `dy`, by their definition, summed in `f64`.
pub fn conv2d_backward_ref(s: &Conv2dShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> (Tensor, Tensor) {
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; w.len()]);
    for (i, &dy) in dy.data().iter().enumerate() {
        s.for_each_product(i, |x_i, w_i| {
            dx[x_i] += f64::from(dy) * f64::from(w.data()[w_i]);
            dw[w_i] += f64::from(dy) * f64::from(x.data()[x_i]);
        });
    }
    (Tensor::from_fn(x.shape(), |i| dx[i] as f32), Tensor::from_fn(w.shape(), |i| dw[i] as f32))
}

struct Conv2d {
    s: Conv2dShape,
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    /// `dx` and `dw` as above; `db[o] = sum over n, oy, ox of dy[n, oy, ox, o]`.
    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (dx, dw) = conv2d_backward_ref(&self.s, record.input(0), record.input(1), &dy);
        let channel = |o: usize| dy.data().iter().skip(o).step_by(self.s.o).map(|&v| f64::from(v));
        let db = Tensor::from_fn([self.s.o], |o| channel(o).sum::<f64>() as f32);
        vec![Some(dx), Some(dw), Some(db)].into_iter().take(record.inputs()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        let inputs = [wave([2, 4, 5, 2], 1), wave([3, 3, 3, 2], 2), wave([3], 3)];
        check(&inputs, 2e-3, |tape, v| conv2d(tape, v[0], v[1], Some(v[2]), 2, 1).unwrap());
    }

    #[test]
    fn a_bias_of_another_length_is_refused() {
        let mut tape = Tape::new();
        let [x, w, b] =
            [wave([1, 4, 4, 1], 1), wave([2, 3, 3, 1], 2), wave([3], 3)].map(|t| tape.leaf(t, true));
        let error = conv2d(&mut tape, x, w, Some(b), 1, 0).unwrap_err().to_string();
        assert_eq!(error, "conv2d: 2 output channels but b [3]");
    }
}
