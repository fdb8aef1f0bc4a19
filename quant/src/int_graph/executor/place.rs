//! Where values stand in a workspace.

use super::super::{IntGraph, Op};
use crate::kernel::K_GROUP;
use crate::kernel::requantize::Place;

/// A place for values: pixels `[h][w][c]` inside a border, one plane of bytes for every 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) dims: [usize; 3],
    /// Channels, rounded up to whole groups of the kernels.
    pub(super) c: usize,
    pub(super) border: usize,
    pub(super) planes: usize,
    /// The code of real zero.
    pub(super) zero: i32,
}

impl Slot {
    pub(super) fn row(&self) -> usize {
        (self.dims[1] + 2 * self.border) * self.c
    }

    pub(super) fn len(&self) -> usize {
        (self.dims[0] + 2 * self.border) * self.row()
    }

    pub(super) fn place(&self) -> Place {
        Place { start: self.border * (self.row() + self.c), row: self.row(), step: self.c }
    }
}

/// A place for every value; one that nobody will read again makes room for the next of its kind.
pub(super) fn plan(graph: &IntGraph) -> (Vec<usize>, Vec<Slot>) {
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
