//! Convolutions of any shape: receptive fields are copied (im2col), then one matrix product per image.
//! Plain: [`conv2d_ref`](crate::ops::conv2d_ref) and [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref).

use super::pass::{ImagePass, SumPass};
use crate::gemm::{Matrix, gemm};
use crate::im2col::{col2im, im2col};
use crate::kernel::pad::with_scratch;
use crate::ops::Conv2dShape;

/// `y = cols w^T`.
pub(super) struct Forward<'a> {
    pub shape: Conv2dShape,
    pub w: &'a [f32],
}

impl ImagePass for Forward<'_> {
    fn run(&self, x: &[f32], y: &mut [f32]) {
        let s = &self.shape;
        let ((x_len, y_len, k), pixels) = (s.lens(), s.oh * s.ow);
        for (y, x) in y.chunks_exact_mut(y_len).zip(x.chunks_exact(x_len)) {
            with_scratch(pixels * k, |cols| {
                im2col(s, x, cols);
                gemm(Matrix::new(cols, pixels, k), Matrix::new(self.w, s.o, k).t(), 0.0, y);
            });
        }
    }
}

/// `dcols = dy w`, then back onto the pixels.
pub(super) struct InputGrad<'a> {
    pub shape: Conv2dShape,
    pub w: &'a [f32],
}

impl ImagePass for InputGrad<'_> {
    fn run(&self, dy: &[f32], dx: &mut [f32]) {
        let s = &self.shape;
        let ((x_len, y_len, k), pixels) = (s.lens(), s.oh * s.ow);
        for (dx, dy) in dx.chunks_exact_mut(x_len).zip(dy.chunks_exact(y_len)) {
            with_scratch(pixels * k, |cols| {
                gemm(Matrix::new(dy, pixels, s.o), Matrix::new(self.w, s.o, k), 0.0, cols);
                col2im(s, cols, dx);
            });
        }
    }
}

/// `dw = sum over images of cols^T dy`.
pub(super) struct WeightGrad {
    pub shape: Conv2dShape,
}

impl SumPass for WeightGrad {
    fn sums(&self) -> usize {
        self.shape.lens().2 * self.shape.o
    }

    fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32], first: bool) {
        let s = &self.shape;
        let ((x_len, y_len, k), pixels) = (s.lens(), s.oh * s.ow);
        if first {
            sums.fill(0.0);
        }
        for (x, dy) in x.chunks_exact(x_len).zip(dy.chunks_exact(y_len)) {
            with_scratch(pixels * k, |cols| {
                im2col(s, x, cols);
                gemm(Matrix::new(cols, pixels, k).t(), Matrix::new(dy, pixels, s.o), 1.0, sums);
            });
        }
    }

    fn finish(&self, sums: &[f32], dw: &mut [f32]) {
        dw.copy_from_slice(sums);
    }
}
