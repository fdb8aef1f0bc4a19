//! `y = conv(x, w) + b`; equals [`conv2d_ref`](crate::ops::conv2d_ref) up to rounding (`tests.rs` states the bound).

use rayon::prelude::*;

use super::algorithm::{self, Algorithm};
use super::batch::group;
use crate::ops::Conv2dShape;
use crate::{Error, Result, Tensor};

/// The convolution of `x` with `w`, plus `b` where given.
///
/// # Errors
/// If a tensor is not of the shape that `shape` says.
pub fn conv2d_forward(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    x: &Tensor,
    w: &Tensor,
    b: Option<&Tensor>,
) -> Result<Tensor> {
    let (x_len, y_len, k) = shape.lens();
    if x.len() != shape.n * x_len || w.len() != shape.o * k || b.is_some_and(|b| b.len() != shape.o) {
        let b = b.map_or("none".into(), |b| b.shape().to_string());
        let detail = format!("x {}, w {}, b {b} do not fit {shape:?}", x.shape(), w.shape());
        return Err(Error::shape("conv2d", detail));
    }
    let mut y = Tensor::scratch(shape.y());
    let (pass, group) = (algorithm::forward(algorithm, shape, w.data()), group(shape));
    let images = y.data_mut().par_chunks_mut(y_len * group).zip(x.data().par_chunks(x_len * group));
    images.for_each(|(y, x)| pass.run(x, y));
    if let Some(b) = b {
        for pixel in y.data_mut().chunks_exact_mut(shape.o) {
            for (y, b) in pixel.iter_mut().zip(b.data()) {
                *y += b;
            }
        }
    }
    Ok(y)
}
