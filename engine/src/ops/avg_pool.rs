//! Global average pooling: `y[n, c] = 1/(H W) * sum over h, w of x[n, h, w, c]`.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::from_vec([1, 1, 2, 1], vec![1., 3.])?, true);
//! let y = ops::global_avg_pool(&mut tape, x)?;
//! assert_eq!(tape.value(y).data(), [2.0]);
//! # Ok::<(), engine::Error>(())
//! ```

use crate::{Error, Op, Record, Result, Shape, Tape, Tensor, Var};

/// The mean over all pixels: `x [N, H, W, C]` to `y [N, C]`.
///
/// # Errors
/// If `x` is not `[N, H, W, C]`, or an extent other than N is 0.
pub fn global_avg_pool_forward(x: &Tensor) -> Result<Tensor> {
    let (n, h, w, c) = x.shape().nhwc().filter(|&(_, h, w, c)| h * w * c > 0).ok_or_else(|| {
        let detail = format!("x must be [N, H, W, C] with pixels and channels, got {}", x.shape());
        Error::shape("global_avg_pool", detail)
    })?;
    let mut y = Tensor::zeros([n, c]);
    for (y, image) in y.data_mut().chunks_exact_mut(c).zip(x.data().chunks_exact(h * w * c)) {
        for pixel in image.chunks_exact(c) {
            for (y, x) in y.iter_mut().zip(pixel) {
                *y += x;
            }
        }
        for y in y {
            *y /= (h * w) as f32;
        }
    }
    Ok(y)
}

/// The same by its definition, summed in `f64`.
pub fn global_avg_pool_ref(x: &Tensor) -> Tensor {
    let (c, pixels) = (x.shape().last(), x.dims()[1] * x.dims()[2]);
    Tensor::from_fn([x.dims()[0], c], |at| {
        let channel = x.data()[at / c * pixels * c..][..pixels * c].iter().skip(at % c).step_by(c);
        (channel.map(|&v| f64::from(v)).sum::<f64>() / pixels as f64) as f32
    })
}

/// [`global_avg_pool_forward`], recorded.
///
/// # Errors
/// If `x` is not `[N, H, W, C]`, or an extent other than N is 0.
pub fn global_avg_pool(tape: &mut Tape, x: Var) -> Result<Var> {
    let value = tape.value(x);
    let shape = value.shape();
    let y = global_avg_pool_forward(value)?;
    Ok(tape.push(y, &[x], GlobalAvgPool { shape }))
}

struct GlobalAvgPool {
    shape: Shape,
}

impl Op for GlobalAvgPool {
    fn name(&self) -> &'static str {
        "global_avg_pool"
    }

    /// `dx[n, h, w, c] = dy[n, c] / (H W)`.
    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (_, h, w, c) = self.shape.nhwc().expect("forward checked the rank");
        let mut dx = Tensor::scratch(self.shape);
        let scale = 1.0 / (h * w) as f32;
        for (image, dy) in dx.data_mut().chunks_exact_mut(h * w * c).zip(dy.data().chunks_exact(c)) {
            for pixel in image.chunks_exact_mut(c) {
                for (dx, dy) in pixel.iter_mut().zip(dy) {
                    *dx = dy * scale;
                }
            }
        }
        vec![Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn equals_the_definition_and_its_gradient_finite_differences() {
        let x = wave([3, 4, 5, 6], 1);
        let (y, expected) = (global_avg_pool_forward(&x).unwrap(), global_avg_pool_ref(&x));
        assert!(y.data().iter().zip(expected.data()).all(|(y, e)| (y - e).abs() <= 1e-6));
        check(&[x], 1e-3, |tape, v| global_avg_pool(tape, v[0]).unwrap());
    }

    #[test]
    fn value_and_gradient() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::from_fn([1, 2, 2, 2], |i| i as f32), true);
        let y = global_avg_pool(&mut tape, x).unwrap();
        assert_eq!(tape.value(y).data(), [3.0, 4.0]); // channels (0, 2, 4, 6) and (1, 3, 5, 7)
        tape.backward(y, Tensor::from_vec([1, 2], vec![4.0, 8.0]).unwrap()).unwrap();
        assert_eq!(tape.grad(x).unwrap().data(), [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 1.0, 2.0]);
    }
}
