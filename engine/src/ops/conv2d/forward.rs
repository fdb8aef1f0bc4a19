//! `y = conv(x, w) + b`, and its definition.

use rayon::prelude::*;

use super::{Algorithm, Conv2dShape, pass};
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
    let (pass, group) = (pass::forward(algorithm, shape, w.data()), pass::group(shape));
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

/// The convolution by its definition, summed in `f64`.
pub fn conv2d_ref(s: &Conv2dShape, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Tensor {
    let (x_len, _, k) = s.lens();
    Tensor::from_fn(s.y(), |i| {
        let (n, oy, ox, o) = (i / s.o / s.ow / s.oh, i / s.o / s.ow % s.oh, i / s.o % s.ow, i % s.o);
        let mut sum = b.map_or(0.0, |b| f64::from(b.data()[o]));
        for (kh, kw) in (0..s.kh).flat_map(|kh| (0..s.kw).map(move |kw| (kh, kw))) {
            let Some(pixel) = s.input_pixel(oy, ox, kh, kw) else { continue };
            for c in 0..s.c {
                let x = x.data()[n * x_len + pixel * s.c + c];
                sum += f64::from(x) * f64::from(w.data()[o * k + (kh * s.kw + kw) * s.c + c]);
            }
        }
        sum as f32
    })
}
