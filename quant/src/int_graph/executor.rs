//! The fast form of the specification: packed weights, planned memory, one sweep per layer.
//!
//! Everything that does not depend on the image is done once, by [`IntEngine::new`]: weights are packed for the
//! micro-kernel that suits their range, the zero point's share of every sum goes into the bias of eq 7, and every value
//! gets a place. Values that are never needed at the same time share one, if shape and zero code are equal. A place
//! includes a border of real zero as wide as its readers' padding; it is written once, when a [`Workspace`] is made, so
//! that no image is ever copied to be padded.

mod nodes;
mod pack;
mod place;

use engine::{Error, Result};
use rayon::prelude::*;

use super::{IntGraph, Op, ValueId};
use crate::kernel::plane::Plane;
use crate::kernel::{self, Scratch};
use pack::Packed;
use place::{Slot, plan};

/// An [`IntGraph`] ready to classify.
pub struct IntEngine {
    graph: IntGraph,
    /// Of each node.
    packed: Vec<Packed>,
    /// The place of each value, among `slots`.
    slot_of: Vec<usize>,
    slots: Vec<Slot>,
    isa: &'static str,
}

/// The values of one image; one per thread, kept from image to image.
pub struct Workspace {
    /// Planes of each slot.
    slots: Vec<Vec<Plane>>,
    scratch: Scratch,
    /// Slots that are being written; empty between nodes.
    written: Vec<Vec<Plane>>,
    /// Of the pool.
    sums: Vec<u32>,
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
        let isa = kernel::named("IntEngine", isa)?.isa;
        let (slot_of, slots) = plan(&graph);
        let pack = |op: &Op| Packed::new(&graph, op, isa, |y| slots[slot_of[y]].place());
        let packed = graph.nodes().iter().map(|node| pack(&node.op)).collect::<Result<_>>()?;
        Ok(Self { graph, packed, slot_of, slots, isa })
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
        let plane = |s: &Slot, p: usize| Plane::new(s.len(), (s.zero >> (8 * p)) as u8);
        let slots = self.slots.iter().map(|s| (0..s.planes).map(|p| plane(s, p)).collect()).collect();
        Workspace { slots, scratch: Scratch::default(), written: Vec::new(), sums: Vec::new() }
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
        for (packed, node) in self.packed.iter().zip(self.graph.nodes()) {
            match (&node.op, packed) {
                (Op::Lookup { y, table }, _) => self.lookup(workspace, image, *y, table),
                (op, Packed::Conv2d { w, outputs }) => self.conv2d(workspace, op, w, outputs),
                (Op::SubsamplePad { x, y, stride, lo }, _) => {
                    self.subsample(workspace, [*x, *y], *stride, *lo);
                }
                (Op::GlobalAvgPool { x, outputs }, _) => self.pool(workspace, *x, outputs),
                (Op::Linear { x, .. }, Packed::Linear { w, offset }) => {
                    self.linear(workspace, *x, w, offset, logits);
                }
                (Op::Conv2d { .. } | Op::Linear { .. }, _) => unreachable!("packed as what they are"),
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
}
