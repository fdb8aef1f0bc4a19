//! The gradients of a convolution over a batch: groups of images, shared out among threads in chunks whose bounds
//! depend on the batch alone, so that the sums have the same bits for any number of threads. Plain:
//! [`conv2d_backward_ref`](crate::ops::conv2d_backward_ref).

use rayon::prelude::*;

use super::pass::{ImagePass, SumPass};
use crate::Tensor;
use crate::kernel::pad::with_scratch;
use crate::ops::Conv2dShape;

/// Output pixels that one call of a pass should have to itself: Winograd's blocks take up to 512.
const PIXELS: usize = 512;

/// Images of one call of a pass.
pub(crate) fn group(s: &Conv2dShape) -> usize {
    PIXELS.div_ceil(s.oh * s.ow)
}

/// The batch is summed in this many chunks at most, whatever the number of threads.
const CHUNKS: usize = 16;

/// Images of a chunk: the sums over them are taken by one task, the sums over chunks then in order.
fn chunk(n: usize) -> usize {
    n.div_ceil(CHUNKS).max(1)
}

/// Both gradients, wanted or not.
pub(crate) struct Gradients<'a> {
    /// See [`input_grad`](super::algorithm::input_grad).
    pub dx: Option<Box<dyn ImagePass + 'a>>,
    /// See [`weight_grad`](super::algorithm::weight_grad).
    pub dw: Option<Box<dyn SumPass>>,
}

/// The images of a group: the first, and how many.
#[derive(Clone, Copy)]
pub(crate) struct Group {
    /// Number of the first.
    pub first: usize,
    /// How many.
    pub images: usize,
}

impl Group {
    /// Their numbers in a tensor with `len` floats per image.
    pub(crate) fn of<'t>(&self, tensor: &'t [f32], len: usize) -> &'t [f32] {
        &tensor[self.first * len..][..self.images * len]
    }
}

/// Where the gradients' operands come from and what becomes of `dx`, group by group, while it is in the cache.
pub(crate) trait Operands: Sync {
    /// Calls `with(x, dy)` for a group; each is asked for once.
    fn with(&self, group: Group, with: &mut dyn FnMut(&[f32], &[f32]));
    /// Changes `dx` of a group in place.
    fn finish(&self, _: Group, _dx: &mut [f32]) {}
}

impl Gradients<'_> {
    /// Runs them: `dx [N, H, W, C]`, `dw [O, KH, KW, C]`, whichever are wanted.
    pub(crate) fn run(
        &self,
        s: &Conv2dShape,
        operands: &impl Operands,
        mut dx: Option<&mut Tensor>,
        dw: Option<&mut Tensor>,
    ) {
        let (x_len, _, k) = s.lens();
        let (chunk, group) = (chunk(s.n), group(s));
        let chunks = s.n.div_ceil(chunk);
        let mut partial = Tensor::scratch([chunks, if dw.is_some() { k * s.o } else { 0 }]);
        let mut dx_chunks: Vec<Option<&mut [f32]>> = match &mut dx {
            Some(dx) => dx.data_mut().chunks_mut(x_len * chunk).map(Some).collect(),
            None => (0..chunks).map(|_| None).collect(),
        };
        let mut dw_chunks: Vec<Option<&mut [f32]>> = match &self.dw {
            Some(_) => partial.data_mut().chunks_mut(k * s.o).map(Some).collect(),
            None => (0..chunks).map(|_| None).collect(),
        };
        dx_chunks.par_iter_mut().zip(&mut dw_chunks).enumerate().for_each(|(i, (dx, dw))| {
            let (start, end) = (i * chunk, s.n.min((i + 1) * chunk));
            with_scratch(self.dw.as_ref().map_or(0, |dw| dw.sums()), |sums| {
                for first in (start..end).step_by(group) {
                    let group = Group { first, images: group.min(end - first) };
                    operands.with(group, &mut |x, dy| {
                        if let (Some(pass), Some(dx)) = (&self.dx, dx.as_deref_mut()) {
                            let dx = &mut dx[(first - start) * x_len..][..group.images * x_len];
                            pass.run(dy, dx);
                            operands.finish(group, dx);
                        }
                        if let Some(pass) = &self.dw {
                            pass.add(x, dy, sums, first == start);
                        }
                    });
                }
                if let (Some(pass), Some(dw)) = (&self.dw, dw) {
                    pass.finish(sums, dw);
                }
            });
        });
        if let Some(dw) = dw {
            gather(&partial, s, dw.data_mut());
        }
    }
}

/// Floats of a piece that is summed by one task.
const PIECE: usize = 4096;

/// Sums `[K, O]` of every chunk into `dw [O, K]`, in order of the chunks. (Summed first, while numbers that are added
/// are neighbours, and transposed then.)
fn gather(partial: &Tensor, s: &Conv2dShape, dw: &mut [f32]) {
    let (_, _, k) = s.lens();
    let mut total = Tensor::scratch([k, s.o]);
    total.data_mut().par_chunks_mut(PIECE).enumerate().for_each(|(piece, total)| {
        let (start, len) = (piece * PIECE, total.len());
        let mut parts = partial.data().chunks_exact(k * s.o).map(|p| &p[start..start + len]);
        match parts.next() {
            Some(first) => total.copy_from_slice(first),
            None => total.fill(0.0),
        }
        for part in parts {
            for (total, p) in total.iter_mut().zip(part) {
                *total += p;
            }
        }
    });
    for (o, dw) in dw.chunks_exact_mut(k).enumerate() {
        for (dw, row) in dw.iter_mut().zip(total.data().chunks_exact(s.o)) {
            *dw = row[o];
        }
    }
}
