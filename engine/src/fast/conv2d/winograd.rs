//! Convolutions through Winograd's kernels: 3x3, stride 1, padding 1, sides that are multiples of 4.
//! Plain: [`conv2d_ref`](crate::ops::conv2d_ref) and [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref).

use super::pass::{ImagePass, SumPass};
use crate::kernel::Isa;
use crate::kernel::conv::{Epilogue, Panels};
use crate::kernel::pad::with_scratch;
use crate::kernel::winograd::{FilterGrad, Filters, Layout, POINTS, TILE, WinogradConv, WinogradGrad};
use crate::ops::Conv2dShape;

/// Whether the shape is one Winograd's transforms are made for, with channels that fill vectors.
pub(super) fn fits(isa: Isa, s: &Conv2dShape) -> bool {
    (s.kh, s.kw, s.stride, s.padding) == (3, 3, 1, 1)
        && s.h.is_multiple_of(TILE)
        && s.w.is_multiple_of(TILE)
        && Panels::fit(isa, s.c)
        && Panels::fit(isa, s.o)
}

/// A convolution with transformed filters.
struct Convolve {
    isa: Isa,
    dims: [usize; 2],
    channels: [usize; 2],
    filters: Filters,
}

/// `y = conv(x, w)`.
pub(super) fn forward(isa: Isa, s: &Conv2dShape, w: &[f32]) -> impl ImagePass + use<> {
    let filters = Filters::new(isa, w, [s.o, s.c], false);
    Convolve { isa, dims: [s.h, s.w], channels: [s.c, s.o], filters }
}

/// `dx`: the convolution of `dy` with the flipped kernels.
pub(super) fn input_grad(isa: Isa, s: &Conv2dShape, w: &[f32]) -> impl ImagePass + use<> {
    let filters = Filters::new(isa, w, [s.o, s.c], true);
    Convolve { isa, dims: [s.h, s.w], channels: [s.o, s.c], filters }
}

impl ImagePass for Convolve {
    fn run(&self, x: &[f32], y: &mut [f32]) {
        let ([h, w], [c, o]) = (self.dims, self.channels);
        with_scratch(WinogradConv::scratch_len(&self.filters), |scratch| {
            self.isa.run(WinogradConv {
                x,
                x_layout: Layout::dense(self.dims, c),
                filters: &self.filters,
                dims: [x.len() / (h * w * c), h, w],
                y,
                y_layout: Layout::dense(self.dims, o),
                epilogue: Epilogue::default(),
                scratch,
            });
        });
    }
}

/// `dw`, summed as `p [POINTS, C, O]`.
pub(super) struct WeightGrad {
    pub isa: Isa,
    pub shape: Conv2dShape,
}

impl SumPass for WeightGrad {
    fn sums(&self) -> usize {
        POINTS * self.shape.c * self.shape.o
    }

    fn add(&self, x: &[f32], dy: &[f32], p: &mut [f32], first: bool) {
        let Conv2dShape { h, w, c, o, .. } = self.shape;
        let (dims, channels) = ([x.len() / (h * w * c), h, w], [c, o]);
        with_scratch(WinogradGrad::scratch_len(channels), |scratch| {
            self.isa.run(WinogradGrad { x, dy, dims, channels, p, add: !first, scratch });
        });
    }

    fn finish(&self, p: &[f32], dw: &mut [f32]) {
        self.isa.run(FilterGrad { p, dw });
    }
}
