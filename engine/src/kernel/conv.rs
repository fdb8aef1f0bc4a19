//! Direct convolution of one padded image, used for `y = conv(x, w)` and, with flipped and transposed
//! weights, for the gradient of its input. No im2col copy: the receptive fields are read where they are.
//!
//! Plain: [`ops::conv2d_ref`](crate::ops::conv2d_ref); `fast/conv2d/tests.rs` holds it to that.
//!
//! Loops, outermost first: blocks of output channels (one weight panel each, which stays in the first-level
//! cache) / rows / tiles of `MR` neighbouring pixels / segments of the receptive field.

use super::tile::{Segment, dot};
use super::{Isa, Kernel, Vector};
use crate::arena::Floats;

/// Vectors in the widest panel.
pub(crate) const MAX_NR: usize = 4;

/// Vectors in a panel of a layer with `o` output channels: four where a vector is short, else two, where they fit.
pub(crate) fn panel_vectors(isa: Isa, o: usize) -> usize {
    let vectors = o / isa.lanes();
    let widest = if isa.lanes() == 4 { MAX_NR } else { 2 };
    [widest, 2, 1].into_iter().find(|nr| vectors.is_multiple_of(*nr)).unwrap_or(1)
}

/// Weights `[K, O]` regrouped as panels `[O / width][K][width]`, `width = NR` vectors.
pub(crate) struct Panels {
    data: Floats,
    nr: usize,
    k: usize,
}

impl Panels {
    /// Whether panels of `o` output channels exist for `isa`: whole vectors only.
    pub(crate) fn fit(isa: Isa, o: usize) -> bool {
        o > 0 && o.is_multiple_of(isa.lanes())
    }

    /// Packs `K * O` weights; `weight(k, o)` is read once each.
    pub(crate) fn pack(isa: Isa, k: usize, o: usize, weight: impl Fn(usize, usize) -> f32) -> Self {
        let nr = panel_vectors(isa, o);
        let width = nr * isa.lanes();
        let mut data = Floats::take(k * o);
        for (row, values) in data.chunks_exact_mut(width).enumerate() {
            for (lane, value) in values.iter_mut().enumerate() {
                *value = weight(row % k, row / k * width + lane);
            }
        }
        Self { data, nr, k }
    }
}

/// What happens to a sum before it is written: `y = max(sum + bias + residual, floor)`, while it is still in a
/// register.
#[derive(Clone, Copy, Default)]
pub(crate) struct Epilogue<'a> {
    /// One number per output channel.
    pub bias: Option<&'a [f32]>,
    /// As long as `y` and indexed like it.
    pub residual: Option<&'a [f32]>,
    /// Whether to clamp at 0.
    pub relu: bool,
}

/// One image: `y[r, p, o] = sum over segments of x[r * x_row + p * x_step + ...] * w[..., o]`.
pub(crate) struct ConvImage<'a> {
    /// Padded image.
    pub x: &'a [f32],
    /// Floats from an output row's field to the next row's.
    pub x_row: usize,
    /// Floats from an output pixel's field to the next pixel's.
    pub x_step: usize,
    /// Packed weights.
    pub w: &'a Panels,
    /// The receptive field.
    pub segments: &'a [Segment],
    /// Result; pixels that are not written (see `y_step`) keep their contents.
    pub y: &'a mut [f32],
    /// Offset of the first written pixel.
    pub y_start: usize,
    /// Floats from a written row to the next.
    pub y_row: usize,
    /// Floats from a written pixel to the next.
    pub y_step: usize,
    /// What is done to the sums.
    pub epilogue: Epilogue<'a>,
    /// Rows and pixels per row to write.
    pub rows: usize,
    /// See `rows`.
    pub cols: usize,
}

impl ConvImage<'_> {
    /// The bounds that make the kernel's unchecked indexing sound, in front of it and once per image.
    fn check(&self, lanes: usize) {
        let last =
            |start: usize, row: usize, step: usize| start + (self.rows - 1) * row + (self.cols - 1) * step;
        let o = self.w.data.len() / self.w.k.max(1);
        assert!(self.rows > 0 && self.cols > 0 && o.is_multiple_of(self.w.nr * lanes));
        assert!(last(self.y_start, self.y_row, self.y_step) + o <= self.y.len(), "y is too short");
        assert!(self.epilogue.bias.is_none_or(|b| b.len() == o), "one bias per channel");
        assert!(self.epilogue.residual.is_none_or(|r| r.len() == self.y.len()), "the residual is like y");
        for s in self.segments {
            assert!(s.k + s.len <= self.w.k, "a segment leaves the weights");
            assert!(last(s.x, self.x_row, self.x_step) + s.len <= self.x.len(), "a segment leaves the image");
        }
    }

    /// `NR` is known at compile time from here on.
    ///
    /// # Safety
    /// The machine has the instructions of `V`.
    #[inline(always)]
    unsafe fn blocks<V: Vector, const NR: usize>(&mut self) {
        let width = NR * V::LANES;
        let panel = self.w.k * width;
        for (block, w) in self.w.data.chunks_exact(panel).enumerate() {
            for row in 0..self.rows {
                let mut p = 0;
                while p < self.cols {
                    let at = Tile { row, p, o: block * width, w: w.as_ptr() };
                    let left = self.cols - p;
                    // SAFETY: `check` bounded every pixel below `rows` and `cols`; `at` and the MR - 1
                    // pixels after it are such.
                    p += unsafe {
                        match (V::REGISTERS / 2 / NR).min(left) {
                            16.. => self.tile::<V, 16, NR>(at),
                            8.. => self.tile::<V, 8, NR>(at),
                            4.. => self.tile::<V, 4, NR>(at),
                            2.. => self.tile::<V, 2, NR>(at),
                            _ => self.tile::<V, 1, NR>(at),
                        }
                    };
                }
            }
        }
    }

    /// Computes `MR` pixels and returns `MR`.
    #[inline(always)]
    unsafe fn tile<V: Vector, const MR: usize, const NR: usize>(&mut self, at: Tile) -> usize {
        // SAFETY: `check` and the caller bound all indices.
        unsafe {
            let x = self.x.as_ptr().add(at.row * self.x_row + at.p * self.x_step);
            let mut acc = dot::<V, MR, NR>(x, self.x_step, at.w, self.segments);
            let offset = self.y_start + at.row * self.y_row + at.p * self.y_step + at.o;
            let Epilogue { bias, residual, relu } = self.epilogue;
            if let Some(bias) = bias {
                let bias = bias.as_ptr().add(at.o);
                for j in 0..NR {
                    let b = V::load(bias.add(j * V::LANES));
                    for row in &mut acc {
                        row[j] = row[j].add(b);
                    }
                }
            }
            if let Some(residual) = residual {
                let r = residual.as_ptr().add(offset);
                for i in 0..MR {
                    for j in 0..NR {
                        acc[i][j] = acc[i][j].add(V::load(r.add(i * self.y_step + j * V::LANES)));
                    }
                }
            }
            let y = self.y.as_mut_ptr().add(offset);
            for i in 0..MR {
                for j in 0..NR {
                    let sum = if relu { V::zero().max(acc[i][j]) } else { acc[i][j] };
                    sum.store(y.add(i * self.y_step + j * V::LANES));
                }
            }
        }
        MR
    }
}

/// Where a tile stands: output row and pixel, first output channel, and the weights of its block.
#[derive(Clone, Copy)]
struct Tile {
    row: usize,
    p: usize,
    o: usize,
    w: *const f32,
}

impl Kernel for ConvImage<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        self.check(V::LANES);
        // SAFETY: the bounds were checked; the caller vouches for the instructions.
        unsafe {
            match self.w.nr {
                1 => self.blocks::<V, 1>(),
                2 => self.blocks::<V, 2>(),
                _ => self.blocks::<V, MAX_NR>(),
            }
        }
    }
}
