//! One function for each kind of node, on one image.

use super::super::{Op, ValueId};
use super::{IntEngine, Workspace};
use crate::PackedWeights;
use crate::kernel::requantize::{Output, RequantizeEpilogue, Residual};
use crate::kernel::{self, At, Epilogue, K_GROUP, Lanes, Layer, Tile};
use crate::requantize::Requantize;

impl IntEngine {
    pub(super) fn lookup(&self, workspace: &mut Workspace, image: &[u8], y: ValueId, table: &[[u8; 256]]) {
        let (slot, plane) = (self.slot(y), &mut workspace.slots[self.slot_of[y]][0]);
        let ([_, w, c], place) = (slot.dims, slot.place());
        for (i, line) in image.chunks_exact(w * c).enumerate() {
            let to = &mut plane[place.start + i * place.row..][..w * place.step];
            // Three colours in four bytes, as nearly all images come: a pixel is one store.
            if let ([r, g, b], K_GROUP) = (table, place.step) {
                let pixels = to.as_chunks_mut::<K_GROUP>().0.iter_mut().zip(line.as_chunks::<3>().0);
                for (to, p) in pixels {
                    *to = [r[usize::from(p[0])], g[usize::from(p[1])], b[usize::from(p[2])], 0];
                }
                continue;
            }
            for (to, pixel) in to.chunks_exact_mut(place.step).zip(line.chunks_exact(c)) {
                for ((to, table), p) in to.iter_mut().zip(table).zip(pixel) {
                    *to = table[usize::from(*p)];
                }
            }
        }
    }

    pub(super) fn conv2d(
        &self,
        workspace: &mut Workspace,
        op: &Op,
        packed: &PackedWeights,
        outputs: &[Output],
    ) {
        let Op::Conv2d { x, w, stride, padding, residual, outputs: made, .. } = op else {
            unreachable!("packed as a convolution")
        };
        let from = self.slot(*x);
        let [rows, cols, channels] = self.slot(made[0].0).dims;
        // Outputs leave the workspace while they are written; planning gave them places of their own.
        let mut written = std::mem::take(&mut workspace.written);
        let slot = |y: ValueId| self.slot_of[y];
        written.extend(made.iter().map(|(y, _)| std::mem::take(&mut workspace.slots[slot(*y)])));
        let residual =
            residual.map(|r| Residual { planes: &workspace.slots[slot(r)], place: self.slot(r).place() });
        // The window begins `padding` pixels before the first one.
        let start = (from.border - padding) * (from.row() + from.c);
        let planes = &workspace.slots[slot(*x)];
        let [low, high] = [0, planes.len() - 1].map(|p| &planes[p][start..]);
        let layer = Layer {
            planes: &[low, high][..planes.len()],
            rows,
            cols,
            row_step: stride * from.row(),
            col_step: stride * from.c,
            segments: w.dims()[1],
            segment_stride: from.row(),
            groups: w.dims()[2] * from.c / K_GROUP,
            panels: packed.panels(),
        };
        let mut epilogue = RequantizeEpilogue { outputs, planes: &mut written, residual, cols, channels };
        packed.kernel().sweep(&layer, &mut workspace.scratch, &mut epilogue);
        for ((y, _), planes) in made.iter().zip(written.drain(..)) {
            workspace.slots[slot(*y)] = planes;
        }
        workspace.written = written;
    }

    pub(super) fn subsample(
        &self,
        workspace: &mut Workspace,
        [x, y]: [ValueId; 2],
        stride: usize,
        lo: usize,
    ) {
        let mut written = std::mem::take(&mut workspace.slots[self.slot_of[y]]);
        let (from, to) = (self.slot(x), self.slot(y));
        let ([h, w, o], c) = (to.dims, from.dims[2]);
        for (p, (to_plane, from_plane)) in
            written.iter_mut().zip(&workspace.slots[self.slot_of[x]]).enumerate()
        {
            for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                let (a, b) = (from.place(), to.place());
                let source = &from_plane[a.start + i * stride * a.row + j * stride * a.step..][..c];
                let target = &mut to_plane[b.start + i * b.row + j * b.step..][..o];
                target.fill((to.zero >> (8 * p)) as u8);
                target[lo..lo + c].copy_from_slice(source);
            }
        }
        workspace.slots[self.slot_of[y]] = written;
    }

    pub(super) fn pool(&self, workspace: &mut Workspace, x: ValueId, outputs: &[(ValueId, Requantize)]) {
        let (from, planes) = (self.slot(x), &workspace.slots[self.slot_of[x]]);
        let ([h, w, c], place) = (from.dims, from.place());
        let sums = &mut workspace.sums;
        sums.clear();
        sums.resize(c, 0u32);
        for (p, plane) in planes.iter().enumerate() {
            for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                let pixel = &plane[place.start + i * place.row + j * place.step..][..c];
                for (sum, &code) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(code) << (8 * p);
                }
            }
        }
        for (y, q) in outputs {
            let start = self.slot(*y).place().start;
            for (channel, &sum) in workspace.sums.iter().enumerate() {
                let code = q.apply_ref(channel, i64::from(sum), 0);
                for (p, plane) in workspace.slots[self.slot_of[*y]].iter_mut().enumerate() {
                    plane[start + channel] = (code >> (8 * p)) as u8;
                }
            }
        }
    }

    pub(super) fn linear(
        &self,
        workspace: &mut Workspace,
        x: ValueId,
        w: &PackedWeights,
        offset: &[i32],
        logits: &mut [i32],
    ) {
        let (from, planes) = (self.slot(x), &workspace.slots[self.slot_of[x]]);
        let [low, high] = [0, planes.len() - 1].map(|p| &planes[p][from.place().start..]);
        let planes = &[low, high][..planes.len()];
        let layer = Layer::product(planes, 1, from.c / K_GROUP, w.panels());
        w.kernel().sweep(&layer, &mut workspace.scratch, &mut Logits { offset, logits });
    }
}

/// Adds the bias, writes the logits.
struct Logits<'a> {
    offset: &'a [i32],
    logits: &'a mut [i32],
}

impl Epilogue for Logits<'_> {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At) {
        let classes = self.logits.iter_mut().zip(self.offset).skip(at.channel);
        for (n, (logit, offset)) in classes.take(kernel::NR).enumerate() {
            let acc = tiles.iter().rev().fold(0i32, |acc, tile| (acc << 8).wrapping_add(tile[0][n]));
            *logit = acc.wrapping_add(*offset);
        }
    }
}
