//! The fast form of the specification: packed weights, planned memory, one sweep per layer.
//!
//! Everything that does not depend on the image is done once, by [`IntEngine::new`]: weights are packed for the
//! micro-kernel that suits their range, the zero point's share of every sum goes into the bias of eq 7, and every value
//! gets a place. Values that are never needed at the same time share one, if shape and zero code are equal. A place
//! includes a border of real zero as wide as its readers' padding; it is written once, when a [`Workspace`] is made, so
//! that no image is ever copied to be padded.

use engine::{Error, Result};
use rayon::prelude::*;

use super::{IntGraph, Op, Value, ValueId};
use crate::kernel::requantize::{Output, PackedRequantize, Place, RequantizeEpilogue, Residual};
use crate::kernel::{self, At, Epilogue, K_GROUP, Lanes, Layer, Scratch, Tile};
use crate::requantize::Requantize;
use crate::{IntTensor, PackedWeights};

/// An [`IntGraph`] ready to classify.
pub struct IntEngine {
    graph: IntGraph,
    steps: Vec<Step>,
    /// The place of each value, among `slots`.
    slot_of: Vec<usize>,
    slots: Vec<Slot>,
    isa: &'static str,
}

/// A place for values: pixels `[h][w][c]` inside a border, one plane of bytes for every 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot {
    dims: [usize; 3],
    /// Channels, rounded up to whole groups of the kernels.
    c: usize,
    border: usize,
    planes: usize,
    /// The code of real zero.
    zero: i32,
}

impl Slot {
    fn row(&self) -> usize {
        (self.dims[1] + 2 * self.border) * self.c
    }

    fn len(&self) -> usize {
        (self.dims[0] + 2 * self.border) * self.row()
    }

    fn place(&self) -> Place {
        Place { start: self.border * (self.row() + self.c), row: self.row(), step: self.c }
    }
}

/// The values of one image; one per thread, kept from image to image.
pub struct Workspace {
    /// Planes of each slot.
    slots: Vec<Vec<Vec<u8>>>,
    scratch: Scratch,
}

/// A node with everything about it that can be known beforehand.
enum Step {
    Lookup { y: ValueId },
    Conv2d { x: ValueId, w: PackedWeights, kernel: [usize; 2], stride: usize, padding: usize, finish: Finish },
    SubsamplePad { x: ValueId, y: ValueId, stride: usize, lo: usize },
    GlobalAvgPool { x: ValueId, outputs: Vec<ValueId> },
    Linear { x: ValueId, w: PackedWeights, offset: Vec<i32> },
}

/// What becomes of a convolution's sums.
struct Finish {
    residual: Option<ValueId>,
    outputs: Vec<(ValueId, PackedRequantize)>,
}

impl IntEngine {
    /// Packs `graph` for the best instruction set of this CPU, or the one that `QUANT_ISA` forces.
    ///
    /// # Errors
    /// If the weights cannot be packed; a checked graph's can.
    pub fn new(graph: IntGraph) -> Result<Self> {
        Self::for_isa(graph, kernel::active().isa)
    }

    /// Packs `graph` for the kernels of one instruction set.
    ///
    /// # Errors
    /// If there is none of this name, or this CPU lacks it.
    pub fn for_isa(graph: IntGraph, isa: &str) -> Result<Self> {
        let isa = kernel::named(isa)?.isa;
        let steps = graph.nodes().iter().map(|node| step(&graph, &node.op, isa)).collect::<Result<_>>()?;
        let (slot_of, slots) = plan(&graph);
        Ok(Self { graph, steps, slot_of, slots, isa })
    }

    /// The network.
    pub fn graph(&self) -> &IntGraph {
        &self.graph
    }

    /// The instruction set its weights are packed for.
    pub fn isa(&self) -> &'static str {
        self.isa
    }

    /// Memory for one image at a time.
    pub fn workspace(&self) -> Workspace {
        let plane = |s: &Slot, p: usize| vec![(s.zero >> (8 * p)) as u8; s.len()];
        let slots = self.slots.iter().map(|s| (0..s.planes).map(|p| plane(s, p)).collect()).collect();
        Workspace { slots, scratch: Scratch::default() }
    }

    /// Logits `[n][classes]` of `n` images of bytes `[h][w][c]`; images are shared out among threads.
    ///
    /// # Errors
    /// If the bytes are not a whole number of images.
    pub fn run(&self, images: &[u8]) -> Result<Vec<i32>> {
        let (image, classes) = (self.graph.image().iter().product::<usize>(), self.graph.logit_scale().len());
        if !images.len().is_multiple_of(image) {
            let detail = format!("images have {image} bytes each, got {} bytes", images.len());
            return Err(Error::shape("integer network", detail));
        }
        let n = images.len() / image;
        let mut logits = vec![0; n * classes];
        // A few long runs of images per thread: every run begins with a workspace of its own.
        let run = n.div_ceil(4 * rayon::current_num_threads()).max(1);
        logits.par_chunks_mut(run * classes).zip(images.par_chunks(run * image)).for_each_init(
            || self.workspace(),
            |workspace, (logits, images)| {
                for (logits, image) in logits.chunks_exact_mut(classes).zip(images.chunks_exact(image)) {
                    self.classify(workspace, image, logits);
                }
            },
        );
        Ok(logits)
    }

    /// The logits of one image, on this thread.
    ///
    /// # Panics
    /// If image or logits have another length than the network's, or the workspace is another network's.
    pub fn classify(&self, workspace: &mut Workspace, image: &[u8], logits: &mut [i32]) {
        self.classify_with(workspace, image, logits, |_, _| ());
    }

    /// [`classify`](Self::classify), showing every value `[h][w][c]` when it is made.
    ///
    /// # Panics
    /// As [`classify`](Self::classify).
    pub fn classify_with(
        &self,
        workspace: &mut Workspace,
        image: &[u8],
        logits: &mut [i32],
        mut seen: impl FnMut(ValueId, &dyn Fn() -> Vec<i32>),
    ) {
        assert_eq!(
            image.len(),
            self.graph.image().iter().product::<usize>(),
            "an image of the network's size"
        );
        assert_eq!(logits.len(), self.graph.logit_scale().len(), "a logit for each class");
        for (step, node) in self.steps.iter().zip(self.graph.nodes()) {
            match (step, &node.op) {
                (Step::Lookup { y }, Op::Lookup { table, .. }) => self.lookup(workspace, image, *y, table),
                (Step::Conv2d { .. }, _) => self.conv2d(workspace, step),
                (Step::SubsamplePad { x, y, stride, lo }, _) => {
                    self.subsample(workspace, [*x, *y], *stride, *lo)
                }
                (Step::GlobalAvgPool { x, outputs }, Op::GlobalAvgPool { outputs: q, .. }) => {
                    self.pool(workspace, *x, outputs, q);
                }
                (Step::Linear { x, w, offset }, _) => self.linear(workspace, *x, w, offset, logits),
                _ => unreachable!("steps and nodes go together"),
            }
            for y in node.op.outputs() {
                seen(y, &|| self.codes(workspace, y));
            }
        }
    }

    fn slot(&self, value: ValueId) -> &Slot {
        &self.slots[self.slot_of[value]]
    }

    /// The codes of a value, `[h][w][c]`.
    fn codes(&self, workspace: &Workspace, value: ValueId) -> Vec<i32> {
        let (slot, planes) = (self.slot(value), &workspace.slots[self.slot_of[value]]);
        let ([h, w, c], place) = (slot.dims, slot.place());
        let code = |i: usize| {
            let at = place.start + i / (w * c) * place.row + i / c % w * place.step + i % c;
            planes.iter().rev().fold(0, |code, plane| code << 8 | i32::from(plane[at]))
        };
        (0..h * w * c).map(code).collect()
    }

    fn lookup(&self, workspace: &mut Workspace, image: &[u8], y: ValueId, table: &[[u8; 256]]) {
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

    fn conv2d(&self, workspace: &mut Workspace, step: &Step) {
        let Step::Conv2d { x, w, kernel: [kh, kw], stride, padding, finish } = step else { return };
        let from = self.slot(*x);
        let [rows, cols, channels] = self.slot(finish.outputs[0].0).dims;
        // Outputs leave the workspace while they are written; planning gave them places of their own.
        let mut written: Vec<Vec<Vec<u8>>> = finish
            .outputs
            .iter()
            .map(|(y, _)| std::mem::take(&mut workspace.slots[self.slot_of[*y]]))
            .collect();
        let outputs = finish.outputs.iter().zip(&mut written);
        let outputs =
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
        let mut epilogue = RequantizeEpilogue { outputs, residual, cols, channels };
        w.kernel().sweep(&layer, &mut workspace.scratch, &mut epilogue);
        for ((y, _), planes) in finish.outputs.iter().zip(written) {
            workspace.slots[self.slot_of[*y]] = planes;
        }
    }

    fn subsample(&self, workspace: &mut Workspace, [x, y]: [ValueId; 2], stride: usize, lo: usize) {
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

    fn pool(&self, workspace: &mut Workspace, x: ValueId, outputs: &[ValueId], q: &[(ValueId, Requantize)]) {
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

    fn linear(
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

/// Packs a node.
fn step(graph: &IntGraph, op: &Op, isa: &str) -> Result<Step> {
    let pack = |w: &IntTensor<i8>| {
        let most = w.data().iter().map(|w| i32::from(*w).abs()).max().unwrap_or(0);
        PackedWeights::pack_for(kernel::of_isa(isa, most), w.clone())
    };
    Ok(match op {
        Op::Lookup { y, .. } => Step::Lookup { y: *y },
        Op::Conv2d { x, w, stride, padding, residual, outputs, .. } => {
            let offset = zero_point_sums(&graph.values()[*x], w);
            let outputs = outputs.iter().map(|(y, q)| (*y, PackedRequantize::new(q, &offset))).collect();
            let finish = Finish { residual: *residual, outputs };
            let kernel = [w.dims()[1], w.dims()[2]];
            Step::Conv2d { x: *x, w: pack(w)?, kernel, stride: *stride, padding: *padding, finish }
        }
        Op::SubsamplePad { x, y, stride, lo } => {
            Step::SubsamplePad { x: *x, y: *y, stride: *stride, lo: *lo }
        }
        Op::GlobalAvgPool { x, .. } => Step::GlobalAvgPool { x: *x, outputs: op.outputs() },
        Op::Linear { x, w, b_int, .. } => {
            let sums = zero_point_sums(&graph.values()[*x], w);
            // Modulo 2^32, like the sums: only the logit itself is known to fit.
            let offset = sums.iter().zip(b_int).map(|(s, b)| (s + i64::from(*b)) as i32).collect();
            Step::Linear { x: *x, w: pack(w)?, offset }
        }
    })
}

/// `z_x sum w` of each output channel: what the zero point adds to every sum.
fn zero_point_sums(x: &Value, w: &IntTensor<i8>) -> Vec<i64> {
    let row = w.len() / w.dims()[0];
    let sum = |w: &[i8]| w.iter().map(|w| i64::from(*w)).sum::<i64>() * i64::from(x.zero_point);
    w.data().chunks(row).map(sum).collect()
}

/// A place for every value; one that nobody will read again makes room for the next of its kind.
fn plan(graph: &IntGraph) -> (Vec<usize>, Vec<Slot>) {
    let mut last_read = vec![0; graph.values().len()];
    let mut border = vec![0; graph.values().len()];
    for (id, node) in graph.nodes().iter().enumerate() {
        node.op.inputs().into_iter().for_each(|x| last_read[x] = id);
        if let Op::Conv2d { x, padding, .. } = &node.op {
            border[*x] = border[*x].max(*padding);
        }
    }
    let mut slots: Vec<Slot> = Vec::new();
    let mut free_after: Vec<usize> = Vec::new();
    let mut slot_of = vec![0; graph.values().len()];
    for (id, node) in graph.nodes().iter().enumerate() {
        for y in node.op.outputs() {
            let value = &graph.values()[y];
            let slot = Slot {
                dims: value.dims,
                c: value.dims[2].next_multiple_of(K_GROUP),
                border: border[y],
                planes: value.code_bytes(),
                zero: -value.zero_point,
            };
            let free = (0..slots.len()).find(|&i| slots[i] == slot && free_after[i] < id);
            let place = free.unwrap_or_else(|| {
                slots.push(slot);
                free_after.push(0);
                slots.len() - 1
            });
            // At least until its own node is done: two outputs of one node need two places.
            (slot_of[y], free_after[place]) = (place, last_read[y].max(id));
        }
    }
    (slot_of, slots)
}
