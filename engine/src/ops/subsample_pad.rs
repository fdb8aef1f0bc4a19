//! The parameter-free shortcut ("option A" of He et al. 2015, section 4.2): every other pixel, and zero
//! channels on both sides: `y[n, i, j, lo + c] = x[n, s i, s j, c]`.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([1, 1, 3, 1], vec![1., 2., 3.])?, true);
//! let y = ops::subsample_pad(&mut tape, x, 2, 1, 0)?; // pixels 0 and 2, each behind a channel of zeros
//! assert_eq!(tape.value(y).data(), [0.0, 1.0, 0.0, 3.0]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::{Error, Op, Record, Result, Shape, Tape, Tensor, Var};

/// `x [N, H, W, C]` to `y [N, ceil(H/stride), ceil(W/stride), lo + C + hi]`; the added channels are zero.
///
/// # Errors
/// If `x` is not `[N, H, W, C]` or `stride` is 0.
pub fn subsample_pad(tape: &mut Tape, x: Var, stride: usize, lo: usize, hi: usize) -> Result<Var> {
    let value = tape.value(x);
    let shape = value.shape();
    let Some((n, h, w, c)) = shape.nhwc().filter(|_| stride > 0) else {
        let detail = format!("x must be [N, H, W, C] and stride positive, got {shape} and {stride}");
        return Err(Error::shape("subsample_pad", detail));
    };
    let y_shape = Shape::new(&[n, h.div_ceil(stride), w.div_ceil(stride), lo + c + hi]);
    let op = SubsamplePad { x: shape, y: y_shape, stride, lo };
    let mut y = Tensor::zeros(op.y);
    let data = y.data_mut();
    op.for_each_pixel(|from, to| data[to..to + c].copy_from_slice(&value.data()[from..from + c]));
    Ok(tape.push(y, &[x], op))
}

struct SubsamplePad {
    x: Shape,
    y: Shape,
    stride: usize,
    lo: usize,
}

impl SubsamplePad {
    /// Calls `f(offset in x, offset in y)` of the first copied channel of every pixel of `y`.
    fn for_each_pixel(&self, mut f: impl FnMut(usize, usize)) {
        let (_, h, w, c) = self.x.nhwc().expect("checked when recorded");
        let (n, oh, ow, oc) = self.y.nhwc().expect("built with four dimensions");
        for (n, i, j) in (0..n).flat_map(|n| (0..oh).flat_map(move |i| (0..ow).map(move |j| (n, i, j)))) {
            let from = ((n * h + i * self.stride) * w + j * self.stride) * c;
            f(from, ((n * oh + i) * ow + j) * oc + self.lo);
        }
    }
}

impl Op for SubsamplePad {
    fn name(&self) -> &'static str {
        "subsample_pad"
    }

    /// `dx[n, s i, s j, c] = dy[n, i, j, lo + c]`, zero elsewhere.
    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let c = self.x.last();
        let mut dx = Tensor::zeros(self.x);
        let data = dx.data_mut();
        self.for_each_pixel(|from, to| data[from..from + c].copy_from_slice(&dy.data()[to..to + c]));
        vec![Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        check(&[wave([2, 5, 4, 3], 1)], 1e-3, |tape, v| subsample_pad(tape, v[0], 2, 1, 2).unwrap());
    }

    #[test]
    fn value_and_gradient() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::from_fn([1, 3, 2, 1], |i| i as f32 + 1.0), true);
        let y = subsample_pad(&mut tape, x, 2, 1, 1).unwrap();
        assert_eq!(tape.value(y).dims(), [1, 2, 1, 3]);
        assert_eq!(tape.value(y).data(), [0.0, 1.0, 0.0, 0.0, 5.0, 0.0]);
        tape.backward(y, Tensor::from_fn([1, 2, 1, 3], |i| i as f32)).unwrap();
        assert_eq!(tape.grad(x).unwrap().data(), [1.0, 0.0, 0.0, 0.0, 4.0, 0.0]);
    }
}
