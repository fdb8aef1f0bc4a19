//! The double buffer between products and epilogue.
//!
//! A tile's sums are not read when they have been written but one turn later, when the next tile's products are on their
//! way. By then the sums have left the store buffer, and the processor, which does not wait for one instruction before it
//! begins the next, requantizes one tile *while* it multiplies for the other:
//!
//! ```text
//!  turn            0                1                2                3
//!  buffer A   [products of 0]  [epilogue of 0]  [products of 2]  [epilogue of 2]
//!  buffer B                    [products of 1]  [epilogue of 1]
//! ```

use std::ops::Range;

use super::super::{At, Epilogue, Lanes, NR, Tile};

/// The two buffers; each thread keeps them from layer to layer.
pub(in super::super) type Sums = [Buffer; 2];

/// The sums of one tile: here those of one turn, with AMX those of one of two registers of positions.
///
/// A load behind a store whose address ends in the same 12 bits waits for it; the space after the tiles keeps the first
/// planes of two turns apart (of two planes and two turns there are 8 KiB, which no order keeps apart).
#[derive(Default)]
pub(in super::super) struct Buffer {
    /// `[plane][panel]`.
    pub tiles: [[Tile; 2]; 2],
    _space: [Tile; 2],
}

impl Buffer {
    /// Gives the sums of so many planes to the epilogue, panel by panel; `at` is where they stand, save for the channel.
    #[inline(always)]
    pub fn finish<L: Lanes, E: Epilogue>(
        &self,
        at: At,
        panels: Range<usize>,
        planes: usize,
        epilogue: &mut E,
    ) {
        let [low, high] = &self.tiles;
        for (p, panel) in panels.enumerate() {
            let at = At { channel: panel * NR, ..at };
            epilogue.tile::<L>(&[&low[p], &high[p]][..planes], at);
        }
    }
}

/// The tile that waits for its epilogue, and the room for the next one.
pub(in super::super) struct Pending<'a> {
    sums: &'a mut Sums,
    /// Which buffer is free.
    turn: usize,
    /// Where the sums in the other one stand, if there are any.
    waiting: Option<At>,
}

impl<'a> Pending<'a> {
    #[inline(always)]
    pub fn new(sums: &'a mut Sums) -> Self {
        Self { sums, turn: 0, waiting: None }
    }

    /// The buffer for the next tile's products.
    #[inline(always)]
    pub fn free(&mut self) -> &mut Buffer {
        &mut self.sums[self.turn]
    }

    /// The tile in the free buffer, if one has been computed there, begins to wait. Returns the one that waited until now:
    /// its buffer is free when the caller is done with it.
    #[inline(always)]
    pub fn exchange(&mut self, computed: Option<At>) -> Option<(At, &Buffer)> {
        let done = std::mem::replace(&mut self.waiting, computed);
        self.turn = 1 - self.turn;
        done.map(|at| (at, &self.sums[self.turn]))
    }

    /// Whether no tile waits.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }
}
