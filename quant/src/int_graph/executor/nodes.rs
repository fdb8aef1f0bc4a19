//! One function for each kind of node, on one image.

use super::super::ValueId;
use super::pack::Step;
use super::{IntEngine, Workspace};
use crate::PackedWeights;
use crate::kernel::plane::Plane;
use crate::kernel::requantize::{Output, RequantizeEpilogue, Residual};
use crate::kernel::{self, At, Epilogue, K_GROUP, Lanes, Layer, Tile};
use crate::requantize::Requantize;

impl IntEngine {
    pub(super) fn lookup(&self, workspace: &mut Workspace, image: &[u8], y: ValueId, table: &[[u8; 256]]) {
        let (slot, plane) = (self.slot(y), &mut workspace.slots[self.slot_of[y]][0]);
        let ([_, w, c], place) = (slot.dims, slot.place());
        for (i, line) in image.chunks_exact(w * c).enumerate() {
            let to = &mut plane[place.start + i * place.row..][..w * place.step];
            for (to, pixel) in to.chunks_exact_mut(place.step).zip(line.chunks_exact(c)) {
                for ((to, table), p) in to.iter_mut().zip(table).zip(pixel) {
                    *to = table[usize::from(*p)];
                }
            }
        }
    }

    pub(super) fn conv2d(&self, workspace: &mut Workspace, step: &Step) {
        let Step::Conv2d { x, w, kernel: [kh, kw], stride, padding, finish } = step else { return };
        let from = self.slot(*x);
        let [rows, cols, channels] = self.slot(finish.outputs[0].0).dims;
        // Outputs leave the workspace while they are written; planning gave them places of their own.
        let mut written: Vec<Vec<Plane>> = finish
            .outputs
            .iter()
            .map(|(y, _)| std::mem::take(&mut workspace.slots[self.slot_of[*y]]))
            .collect();
        let outputs = finish.outputs.iter().zip(&mut written);
        let mut outputs: Vec<Output<'_>> =
            outputs.map(|((y, q), planes)| Output { q, planes, place: self.slot(*y).place() }).collect();
        let residual = finish
            .residual
            .map(|r| Residual { planes: &workspace.slots[self.slot_of[r]], place: self.slot(r).place() });
        // The window begins `padding` pixels before the first one.
        let start = (from.border - padding) * (from.row() + from.c);
        let planes = &workspace.slots[self.slot_of[*x]];
        let [low, high] = [0, planes.len() - 1].map(|p| &planes[p][start..]);
        let layer = Layer {
            planes: &[low, high][..planes.len()],
            rows,
            cols,
            row_step: stride * from.row(),
            col_step: stride * from.c,
            segments: *kh,
            segment_stride: from.row(),
            groups: kw * from.c / K_GROUP,
            panels: w.panels(),
        };
        let mut epilogue = RequantizeEpilogue { outputs: &mut outputs, residual, cols, channels };
        w.kernel().sweep(&layer, &mut workspace.scratch, &mut epilogue);
        for ((y, _), planes) in finish.outputs.iter().zip(written) {
            workspace.slots[self.slot_of[*y]] = planes;
        }
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

    pub(super) fn pool(
        &self,
        workspace: &mut Workspace,
        x: ValueId,
        outputs: &[ValueId],
        q: &[(ValueId, Requantize)],
    ) {
        let (from, planes) = (self.slot(x), &workspace.slots[self.slot_of[x]]);
        let ([h, w, c], place) = (from.dims, from.place());
        let mut sums = vec![0u32; c];
        for (p, plane) in planes.iter().enumerate() {
            for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                let pixel = &plane[place.start + i * place.row + j * place.step..][..c];
                for (sum, &code) in sums.iter_mut().zip(pixel) {
                    *sum += u32::from(code) << (8 * p);
                }
            }
        }
        for (y, (_, q)) in outputs.iter().zip(q) {
            let start = self.slot(*y).place().start;
            for (channel, &sum) in sums.iter().enumerate() {
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
        let layer = Layer {
            planes: &[low, high][..planes.len()],
            rows: 1,
            cols: 1,
            row_step: 0,
            col_step: 0,
            segments: 1,
            segment_stride: 0,
            groups: from.c / K_GROUP,
            panels: w.panels(),
        };
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
