//! Convolutions through Winograd's kernels: 3x3, stride 1, padding 1, sides that are multiples of 4.

use rayon::prelude::*;

use super::Conv2dShape;
use super::backward::chunk;
use super::direct::gather;
use crate::Tensor;
use crate::kernel::Isa;
use crate::kernel::conv::{Epilogue, Panels};
use crate::kernel::pad::with_scratch;
use crate::kernel::winograd::{FilterGrad, Filters, Layout, POINTS, TILE, WinogradConv, WinogradGrad, tiles};

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
    convolve(isa, [s.h, s.w], [s.c, s.o], &filters, x, y);
}

/// `dx`: the convolution of `dy` with the flipped kernels.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, w: &[f32], dy: &[f32], dx: &mut [f32]) {
    let filters = Filters::new(isa, w, [s.o, s.c], true);
    convolve(isa, [s.h, s.w], [s.o, s.c], &filters, dy, dx);
}

/// Images that one task computes: enough for a block of tiles.
fn group([h, w]: [usize; 2]) -> usize {
    16usize.div_ceil(tiles(h, w))
}

fn convolve(isa: Isa, dims: [usize; 2], [c, o]: [usize; 2], filters: &Filters, x: &[f32], y: &mut [f32]) {
    let ([h, w], group) = (dims, group(dims));
    let (x_len, y_len) = (h * w * c, h * w * o);
    y.par_chunks_mut(y_len * group).zip(x.par_chunks(x_len * group)).for_each(|(y, x)| {
        with_scratch(WinogradConv::scratch_len(filters), |scratch| {
            isa.run(WinogradConv {
                x,
                x_layout: Layout::dense(dims, c),
                filters,
                dims: [x.len() / x_len, h, w],
                y,
                y_layout: Layout::dense(dims, o),
                epilogue: Epilogue::default(),
                scratch,
            });
        });
    });
}

/// `dw`, summed over images in chunks that do not depend on the number of threads.
pub(super) fn weight_grad(isa: Isa, s: &Conv2dShape, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (x_len, y_len, k) = s.lens();
    let (channels, chunk) = ([s.c, s.o], chunk(s.n));
    let mut partial = Tensor::scratch([s.n.div_ceil(chunk), k * s.o]);
    let images = x.par_chunks(x_len * chunk).zip(dy.par_chunks(y_len * chunk));
    partial.data_mut().par_chunks_mut(k * s.o).zip(images).for_each(|(dw, (x, dy))| {
        let sums = POINTS * s.c * s.o;
        with_scratch(sums + WinogradGrad::scratch_len(channels), |buffer| {
            let (p, scratch) = buffer.split_at_mut(sums);
            let dims = [x.len() / x_len, s.h, s.w];
            isa.run(WinogradGrad { x, dy, dims, channels, p, scratch });
            isa.run(FilterGrad { p, dw });
        });
    });
    gather(&partial, s, dw);
}
