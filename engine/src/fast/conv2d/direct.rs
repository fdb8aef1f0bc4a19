//! Convolutions through the direct kernels: pad each image, describe its receptive field as segments, run.
//! Plain: [`conv2d_ref`](crate::ops::conv2d_ref) and [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref).

use super::pass::{ImagePass, SumPass};
use crate::kernel::Isa;
use crate::kernel::conv::{ConvImage, Epilogue, Panels};
use crate::kernel::pad::{Padding, with_scratch};
use crate::kernel::tile::Segment;
use crate::kernel::weight_grad::WeightGrad;
use crate::ops::Conv2dShape;

/// Whether the output channels fill vectors.
pub(super) fn fits_forward(isa: Isa, s: &Conv2dShape) -> bool {
    Panels::fit(isa, s.o)
}

/// Whether the input channels, which the input gradient writes, fill vectors. (A kernel smaller than its
/// padding would need a negative border.)
pub(super) fn fits_backward(isa: Isa, s: &Conv2dShape) -> bool {
    Panels::fit(isa, s.c) && s.kh == s.kw && s.padding < s.kh
}

/// The padding of `x`.
fn pad_x(s: &Conv2dShape) -> Padding {
    Padding { h: s.h, w: s.w, c: s.c, before: s.padding, after: [s.padding; 2] }
}

/// Calls `f` with the padded image, which is the image itself where there is nothing to pad.
fn with_padded<R>(padding: Padding, image: &[f32], f: impl FnOnce(&[f32]) -> R) -> R {
    if padding.before == 0 && padding.after == [0; 2] {
        return f(image);
    }
    with_scratch(padding.len(), |padded| {
        padding.copy(image, padded);
        f(padded)
    })
}

/// `y = conv(x, w)`. The receptive field is `KH` segments of `KW * C` floats.
pub(super) struct Forward {
    isa: Isa,
    shape: Conv2dShape,
    segments: Vec<Segment>,
    panels: Panels,
}

impl Forward {
    pub(super) fn new(isa: Isa, s: &Conv2dShape, w: &[f32]) -> Self {
        let (_, _, k) = s.lens();
        let (row, field) = (pad_x(s).row(), s.kw * s.c);
        let segments = (0..s.kh).map(|kh| Segment { x: kh * row, k: kh * field, len: field }).collect();
        let panels = Panels::pack(isa, k, s.o, |k_index, o| w[o * k + k_index]);
        Self { isa, shape: *s, segments, panels }
    }
}

impl ImagePass for Forward {
    fn run(&self, x: &[f32], y: &mut [f32]) {
        let s = &self.shape;
        let ((x_len, y_len, _), padding) = (s.lens(), pad_x(s));
        for (y, x) in y.chunks_exact_mut(y_len).zip(x.chunks_exact(x_len)) {
            with_padded(padding, x, |x| {
                self.isa.run(ConvImage {
                    x,
                    x_row: s.stride * padding.row(),
                    x_step: s.stride * s.c,
                    w: &self.panels,
                    segments: &self.segments,
                    y,
                    y_start: 0,
                    y_row: s.ow * s.o,
                    y_step: s.o,
                    epilogue: Epilogue::default(),
                    rows: s.oh,
                    cols: s.ow,
                });
            });
        }
    }
}

/// One residue class of input pixels modulo the stride: those rows (or columns) `iy = stride * j + residue`
/// are reached by the taps `k` with `(residue + p - k) % stride == 0`, from `dy` row `j + (residue + p - k) / stride`.
#[derive(Clone)]
struct Phase {
    residue: usize,
    /// `(tap, row of the padded dy that belongs to j = 0)`, in order of the row.
    taps: Vec<(usize, usize)>,
    /// How many input rows there are in the class.
    count: usize,
}

/// The phases of one axis of extent `len`, and the border `dy` needs before and after it.
fn phases(len: usize, out: usize, k: usize, s: &Conv2dShape) -> (Vec<Phase>, usize, usize) {
    let (stride, p) = (s.stride, s.padding);
    let before = (k - 1).saturating_sub(p) / stride;
    let after = ((len - 1 + p) / stride + 1).saturating_sub(out);
    let of = |residue: usize| {
        let mut taps: Vec<_> = (0..k)
            .filter(|tap| (residue + p + k * stride - tap).is_multiple_of(stride))
            .map(|tap| (tap, before + (residue + p + k * stride - tap) / stride - k))
            .collect();
        taps.reverse(); // larger taps look at earlier rows
        Phase { residue, taps, count: (len - residue).div_ceil(stride) }
    };
    ((0..stride.min(len)).map(of).collect(), before, after)
}

/// One phase of rows with one of columns: a convolution of the padded `dy`.
struct Pass {
    rows: Phase,
    cols: Phase,
    panels: Panels,
    segments: Vec<Segment>,
}

/// `dx` from `dy`: for every phase of rows and of columns a convolution of the padded `dy` with the taps that
/// reach it (for stride 1 there is one phase, and it is the convolution with the flipped kernel).
pub(super) struct InputGrad {
    isa: Isa,
    shape: Conv2dShape,
    padding: Padding,
    passes: Vec<Pass>,
}

impl InputGrad {
    pub(super) fn new(isa: Isa, s: &Conv2dShape, w: &[f32]) -> Self {
        let (_, _, k) = s.lens();
        let (row_phases, before, after_h) = phases(s.h, s.oh, s.kh, s);
        let (col_phases, _, after_w) = phases(s.w, s.ow, s.kw, s);
        let padding = Padding { h: s.oh, w: s.ow, c: s.o, before, after: [after_h, after_w] };
        let pass = |rows: &Phase, cols: &Phase| {
            let taps: Vec<_> =
                rows.taps.iter().flat_map(|r| cols.taps.iter().map(move |c| (r.0, c.0))).collect();
            let panels = Panels::pack(isa, taps.len() * s.o, s.c, |row, c| {
                let ((kh, kw), o) = (taps[row / s.o], row % s.o);
                w[o * k + (kh * s.kw + kw) * s.c + c]
            });
            // The columns of one row of taps are neighbours in `dy`: one segment.
            let len = cols.taps.len() * s.o;
            let first_col = cols.taps.first().map_or(0, |tap| tap.1);
            let segments = rows.taps.iter().enumerate().map(|(i, (_, row))| Segment {
                x: row * padding.row() + first_col * s.o,
                k: i * len,
                len,
            });
            let segments = segments.filter(|s| s.len > 0).collect();
            Pass { rows: rows.clone(), cols: cols.clone(), panels, segments }
        };
        let pairs = row_phases.iter().flat_map(|rows| col_phases.iter().map(move |cols| (rows, cols)));
        let passes = pairs.map(|(rows, cols)| pass(rows, cols)).collect();
        Self { isa, shape: *s, padding, passes }
    }
}

impl ImagePass for InputGrad {
    fn run(&self, dy: &[f32], dx: &mut [f32]) {
        let s = &self.shape;
        let (x_len, y_len, _) = s.lens();
        for (dx, dy) in dx.chunks_exact_mut(x_len).zip(dy.chunks_exact(y_len)) {
            with_padded(self.padding, dy, |dy| {
                for pass in &self.passes {
                    if pass.segments.is_empty() {
                        zero_phase(s, &pass.rows, &pass.cols, dx);
                        continue;
                    }
                    self.isa.run(ConvImage {
                        x: dy,
                        x_row: self.padding.row(),
                        x_step: s.o,
                        w: &pass.panels,
                        segments: &pass.segments,
                        y: dx,
                        y_start: (pass.rows.residue * s.w + pass.cols.residue) * s.c,
                        y_row: s.stride * s.w * s.c,
                        y_step: s.stride * s.c,
                        epilogue: Epilogue::default(),
                        rows: pass.rows.count,
                        cols: pass.cols.count,
                    });
                }
            });
        }
    }
}

/// Input pixels that no tap reaches have gradient zero.
fn zero_phase(s: &Conv2dShape, rows: &Phase, cols: &Phase, dx: &mut [f32]) {
    for iy in (rows.residue..s.h).step_by(s.stride) {
        for ix in (cols.residue..s.w).step_by(s.stride) {
            dx[(iy * s.w + ix) * s.c..][..s.c].fill(0.0);
        }
    }
}

/// `dw [K, O]`, summed over images.
pub(super) struct SumOverImages {
    pub isa: Isa,
    pub shape: Conv2dShape,
}

impl SumPass for SumOverImages {
    fn sums(&self) -> usize {
        self.shape.lens().2 * self.shape.o
    }

    fn add(&self, x: &[f32], dy: &[f32], dw: &mut [f32], first: bool) {
        let s = &self.shape;
        let ((x_len, y_len, _), padding) = (s.lens(), pad_x(s));
        if first {
            dw.fill(0.0);
        }
        for (x, dy) in x.chunks_exact(x_len).zip(dy.chunks_exact(y_len)) {
            with_padded(padding, x, |x| {
                self.isa.run(WeightGrad {
                    x,
                    x_row: padding.row(),
                    x_step: s.stride * s.c,
                    stride: s.stride,
                    dy,
                    dy_dims: [s.oh, s.ow, s.o],
                    field: [s.kh, s.kw * s.c],
                    dw,
                });
            });
        }
    }

    fn finish(&self, sums: &[f32], dw: &mut [f32]) {
        dw.copy_from_slice(sums);
    }
}
