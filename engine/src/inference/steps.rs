//! One function for each kind of step, on one image. Plain: [`ops::conv2d`](crate::ops::conv2d()) and
//! [`ops::batch_norm`](crate::ops::batch_norm()), [`ops::subsample_pad`](crate::ops::subsample_pad()),
//! [`ops::global_avg_pool`](crate::ops::global_avg_pool()), [`ops::linear`](crate::ops::linear()).

use super::{ConvKernel, Inference};
use crate::Tensor;
use crate::gemm::{Matrix, gemm};
use crate::kernel::conv::{ConvImage, Epilogue};
use crate::kernel::winograd::{Layout, WinogradConv};

/// A value and the place of its buffer.
type From<'a> = (&'a [f32], usize);
/// A value to be written, and the place of its buffer.
type To<'a> = (&'a mut [f32], usize);

impl Inference {
    /// Copies the image into its buffer.
    pub(super) fn input(&self, image: &[f32], y: &mut [f32]) {
        let line = self.input.w * self.input.c;
        for (i, x) in image.chunks_exact(line).enumerate() {
            y[self.input.start() + i * self.input.row()..][..line].copy_from_slice(x);
        }
    }

    pub(super) fn conv(
        &self,
        kernel: &ConvKernel,
        (x, from): From<'_>,
        (y, to): To<'_>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        let (from, to) = (self.buffers[from], self.buffers[to]);
        match kernel {
            ConvKernel::Direct { panels, segments, stride } => self.isa.run(ConvImage {
                x,
                x_row: stride * from.row(),
                x_step: stride * from.c,
                w: panels,
                segments,
                y,
                y_start: to.start(),
                y_row: to.row(),
                y_step: to.c,
                epilogue,
                rows: to.h,
                cols: to.w,
            }),
            ConvKernel::Winograd(filters) => self.isa.run(WinogradConv {
                x,
                x_layout: Layout { start: from.start(), row: from.row(), image: from.len() },
                filters,
                dims: [1, to.h, to.w],
                y,
                y_layout: Layout { start: to.start(), row: to.row(), image: to.len() },
                epilogue,
                scratch,
            }),
        }
    }

    pub(super) fn subsample_pad(&self, (x, from): From<'_>, (y, to): To<'_>, stride: usize, lo: usize) {
        let (from, to) = (self.buffers[from], self.buffers[to]);
        for (i, j) in (0..to.h).flat_map(|i| (0..to.w).map(move |j| (i, j))) {
            let source = from.start() + i * stride * from.row() + j * stride * from.c;
            let target = to.start() + i * to.row() + j * to.c + lo;
            y[target..target + from.c].copy_from_slice(&x[source..source + from.c]);
        }
    }

    pub(super) fn pool(&self, (x, from): From<'_>, y: &mut [f32]) {
        let from = self.buffers[from];
        y.fill(0.0);
        for i in 0..from.h {
            let row = &x[from.start() + i * from.row()..][..from.w * from.c];
            for pixel in row.chunks_exact(from.c) {
                for (sum, x) in y.iter_mut().zip(pixel) {
                    *sum += x;
                }
            }
        }
        let scale = 1.0 / (from.h * from.w) as f32;
        y.iter_mut().for_each(|v| *v *= scale);
    }
}

pub(super) fn linear(x: &[f32], w: &Tensor, b: &Tensor, y: &mut [f32]) {
    let (o, i) = (w.dims()[0], w.dims()[1]);
    y.copy_from_slice(b.data());
    gemm(Matrix::new(x, 1, i), Matrix::new(w.data(), o, i).t(), 1.0, y);
}
