//! Convolutions through Winograd's kernels: 3x3, stride 1, padding 1, sides that are multiples of 4.

use rayon::prelude::*;

use super::Conv2dShape;
use super::backward::chunk;
use super::direct::{gather, pad_x};
use crate::Tensor;
use crate::kernel::Isa;
use crate::kernel::conv::{Epilogue, Panels};
use crate::kernel::pad::{Padding, with_scratch};
use crate::kernel::winograd::{Filters, POINTS, TILE, WinogradGrad, WinogradImage, filter_grad, tiles};

/// Whether the shape is one Winograd's transforms are made for, with channels that fill vectors.
pub(super) fn fits(isa: Isa, s: &Conv2dShape) -> bool {
    (s.kh, s.kw, s.stride, s.padding) == (3, 3, 1, 1)
        && s.h.is_multiple_of(TILE)
        && s.w.is_multiple_of(TILE)
        && Panels::fit(isa, s.c)
        && Panels::fit(isa, s.o)
}

/// `y = conv(x, w)`.
pub(super) fn forward(isa: Isa, s: &Conv2dShape, x: &[f32], w: &[f32], y: &mut [f32]) {
    let filters = Filters::new(isa, w, [s.o, s.c], false);
    convolve(isa, pad_x(s), &filters, x, y, s.o);
}

/// `dx`: the convolution of `dy` with the flipped kernels.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    let filters = Filters::new(isa, w, [s.o, s.c], true);
    convolve(isa, Padding { c: s.o, ..pad_x(s) }, &filters, dy, dx, s.c);
}

fn convolve(isa: Isa, padding: Padding, filters: &Filters, x: &[f32], y: &mut [f32], o: usize) {
    let dims @ [h, w] = [padding.h, padding.w];
    let len = WinogradImage::scratch_len(filters, dims);
    y.par_chunks_mut(h * w * o).zip(x.par_chunks(h * w * padding.c)).for_each(|(y, x)| {
        with_scratch(padding.len() + len, |buffer| {
            let (padded, scratch) = buffer.split_at_mut(padding.len());
            padding.copy(x, padded);
            isa.run(WinogradImage {
                x: padded,
                x_start: 0,
                x_row: padding.row(),
                filters,
                dims,
                y,
                y_start: 0,
                y_row: w * o,
                epilogue: Epilogue::default(),
                scratch,
            });
        });
    });
}

/// Tiles to gather before the sums over them are taken: fewer would spend the time on loading the sums.
const TILES_AT_ONCE: usize = 16;

/// `dw`, summed over images in chunks that do not depend on the number of threads.
pub(super) fn weight_grad(isa: Isa, s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (x_len, y_len, k) = s.lens();
    let (padding, chunk) = (pad_x(s), chunk(s.n));
    let (plane, count) = (s.c * s.o, tiles(s.h, s.w));
    let group = TILES_AT_ONCE.div_ceil(count).min(chunk);
    let mut partial = Tensor::zeros([s.n.div_ceil(chunk), k * s.o]);
    let images = x.par_chunks(x_len * chunk).zip(dy.par_chunks(y_len * chunk));
    partial.data_mut().par_chunks_mut(k * s.o).zip(images).for_each(|(dw, (x, dy))| {
        let scratch_len = POINTS * group * count * (s.c + s.o);
        with_scratch(POINTS * plane + group * padding.len() + scratch_len, |buffer| {
            let (p, rest) = buffer.split_at_mut(POINTS * plane);
            let (padded, scratch) = rest.split_at_mut(group * padding.len());
            p.fill(0.0);
            for (x, dy) in x.chunks(x_len * group).zip(dy.chunks(y_len * group)) {
                let n = x.len() / x_len;
                for (x, padded) in x.chunks_exact(x_len).zip(padded.chunks_exact_mut(padding.len())) {
                    padding.copy(x, padded);
                }
                isa.run(WinogradGrad {
                    x: padded,
                    x_row: padding.row(),
                    x_image: padding.len(),
                    dy,
                    dims: [n, s.h, s.w],
                    channels: [s.c, s.o],
                    p,
                    scratch,
                });
            }
            filter_grad(p, plane, dw);
        });
    });
    gather(&partial, s, dw);
}
