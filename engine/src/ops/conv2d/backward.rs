//! Gradients of the convolution:
//!
//! `dx[n, iy, ix, c] = sum over o, kh, kw with oy s + kh - p = iy, ox s + kw - p = ix of dy[n, oy, ox, o] w[o, kh, kw, c]`
//! `dw[o, kh, kw, c] = sum over n, oy, ox of dy[n, oy, ox, o] x[n, oy s + kh - p, ox s + kw - p, c]`
//! `db[o]            = sum over n, oy, ox of dy[n, oy, ox, o]`

use rayon::prelude::*;

use super::{Algorithm, Conv2dShape, direct, winograd};
use crate::Tensor;
use crate::gemm::{Matrix, gemm};
use crate::im2col::{col2im, im2col};
use crate::kernel::pad::with_scratch;

/// Gradients of a convolution; absent where nobody wanted them.
pub struct Conv2dGrads {
    /// `[N, H, W, C]`.
    pub dx: Option<Tensor>,
    /// `[O, KH, KW, C]`.
    pub dw: Option<Tensor>,
}

/// The batch is summed in this many chunks at most, whatever the number of threads.
const CHUNKS: usize = 16;

/// Images per chunk.
pub(super) fn chunk(n: usize) -> usize {
    n.div_ceil(CHUNKS).max(1)
}

/// `dx` (if `needs[0]`) and `dw` (if `needs[1]`) from `dy [N, OH, OW, O]`.
pub fn conv2d_backward(
    algorithm: Algorithm,
    shape: &Conv2dShape,
    x: &Tensor,
    w: &Tensor,
    dy: &Tensor,
    needs: [bool; 2],
) -> Conv2dGrads {
    let dx = needs[0].then(|| {
        let mut dx = Tensor::scratch(x.shape());
        match algorithm {
            Algorithm::Winograd(isa) if winograd::fits(isa, shape) => {
                winograd::input_grad(isa, shape, w.data(), dy.data(), dx.data_mut());
            }
            Algorithm::Direct(isa) | Algorithm::Winograd(isa) if direct::fits_backward(isa, shape) => {
                direct::input_grad(isa, shape, w.data(), dy.data(), dx.data_mut());
            }
            _ => im2col_input_grad(shape, w.data(), dy.data(), dx.data_mut()),
        }
        dx
    });
    let dw = needs[1].then(|| {
        let mut dw = Tensor::scratch(w.shape());
        match algorithm {
            Algorithm::Winograd(isa) if winograd::fits(isa, shape) => {
                winograd::weight_grad(isa, shape, x.data(), dy.data(), dw.data_mut());
            }
            Algorithm::Direct(isa) | Algorithm::Winograd(isa) if direct::fits_forward(isa, shape) => {
                direct::weight_grad(isa, shape, x.data(), dy.data(), dw.data_mut());
            }
            _ => im2col_weight_grad(shape, x.data(), dy.data(), dw.data_mut()),
        }
        dw
    });
    Conv2dGrads { dx, dw }
}

/// `dcols = dy w`, then back onto the pixels.
fn im2col_input_grad(shape: &Conv2dShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    let (x_len, y_len, k) = shape.lens();
    let pixels = shape.oh * shape.ow;
    dx.par_chunks_mut(x_len).zip(dy.par_chunks(y_len)).for_each(|(dx, dy)| {
        with_scratch(pixels * k, |cols| {
            gemm(Matrix::new(dy, pixels, shape.o), Matrix::new(w, shape.o, k), 0.0, cols);
            col2im(shape, cols, dx);
        });
    });
}

/// `dw = sum over images of dy^T cols`.
fn im2col_weight_grad(shape: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (x_len, y_len, k) = shape.lens();
    let (pixels, chunk) = (shape.oh * shape.ow, chunk(shape.n));
    let mut partial = Tensor::zeros([shape.n.div_ceil(chunk), shape.o * k]);
    let images = x.par_chunks(x_len * chunk).zip(dy.par_chunks(y_len * chunk));
    partial.data_mut().par_chunks_mut(shape.o * k).zip(images).for_each(|(dw, (x, dy))| {
        for (x, dy) in x.chunks_exact(x_len).zip(dy.chunks_exact(y_len)) {
            with_scratch(pixels * k, |cols| {
                im2col(shape, x, cols);
                gemm(Matrix::new(dy, pixels, shape.o).t(), Matrix::new(cols, pixels, k), 1.0, dw);
            });
        }
    });
    dw.fill(0.0);
    for partial in partial.data().chunks_exact(shape.o * k) {
        for (dw, p) in dw.iter_mut().zip(partial) {
            *dw += p;
        }
    }
}

/// `db[o] = sum over all pixels of dy[.., o]`.
pub(super) fn bias_grad(dy: &Tensor) -> Tensor {
    let o = dy.shape().last();
    let mut db = vec![0.0f64; o];
    for pixel in dy.data().chunks_exact(o) {
        for (db, &dy) in db.iter_mut().zip(pixel) {
            *db += f64::from(dy);
        }
    }
    Tensor::from_fn([o], |o| db[o] as f32)
}

/// Both gradients by their definition, summed in `f64`.
pub fn conv2d_backward_ref(s: &Conv2dShape, x: &Tensor, w: &Tensor, dy: &Tensor) -> (Tensor, Tensor) {
    let (x_len, _, k) = s.lens();
    let (mut dx, mut dw) = (vec![0.0f64; x.len()], vec![0.0f64; w.len()]);
    for (i, &dy) in dy.data().iter().enumerate() {
        let (n, oy, ox, o) = (i / s.o / s.ow / s.oh, i / s.o / s.ow % s.oh, i / s.o % s.ow, i % s.o);
        for (kh, kw) in (0..s.kh).flat_map(|kh| (0..s.kw).map(move |kw| (kh, kw))) {
            let Some(pixel) = s.input_pixel(oy, ox, kh, kw) else { continue };
            for c in 0..s.c {
                let (xi, wi) = (n * x_len + pixel * s.c + c, o * k + (kh * s.kw + kw) * s.c + c);
                dx[xi] += f64::from(dy) * f64::from(w.data()[wi]);
                dw[wi] += f64::from(dy) * f64::from(x.data()[xi]);
            }
        }
    }
    (Tensor::from_fn(x.shape(), |i| dx[i] as f32), Tensor::from_fn(w.shape(), |i| dw[i] as f32))
}
