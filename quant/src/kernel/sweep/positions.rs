//! A cursor over output positions: where the codes of the next `MR` of them begin.
//!
//! ```text
//!                    x ->                            MR = 4, an image with rows of 6 positions
//!            +---+---+---+---+---+---+
//!       y=0  | 0   0   0   0 | 1   1 |     tile 0: neighbours in one row: a start and a step say it all
//!            +---+---+---+---+       |     tile 1: goes around the end of a row: a start for each position
//!       y=1  | 1   1 | 2   2   2   2 |     tile 2: neighbours again
//!            +-------+---------------+
//! ```

use std::marker::PhantomData;
use std::ops::Range;

use super::super::micro::RegisterTile;
use super::super::{At, Layer, MAX_MR};
use super::rows::Starts;

/// Goes through a range of output positions, as many at a time as the register tile `T` has.
pub(in super::super) struct Positions<T> {
    cols: usize,
    /// Bytes from a row's positions to the next row's, and from a position to the next.
    row_step: usize,
    col_step: usize,
    /// The next position, its row and its place in the row.
    position: usize,
    y: usize,
    x: usize,
    end: usize,
    tile: PhantomData<T>,
}

impl<T: RegisterTile> Positions<T> {
    #[inline(always)]
    pub fn new(layer: &Layer<'_>, range: Range<usize>, code_bytes: usize) -> Self {
        Self {
            cols: layer.cols,
            row_step: layer.row_step * code_bytes,
            col_step: layer.col_step * code_bytes,
            position: range.start,
            y: range.start / layer.cols,
            x: range.start % layer.cols,
            end: range.end,
            tile: PhantomData,
        }
    }

    /// Where the codes of the next position begin.
    #[inline(always)]
    fn start(&self) -> usize {
        self.y * self.row_step + self.x * self.col_step
    }

    /// Goes on by `n` pixels, at most to the end of the row.
    #[inline(always)]
    fn advance(&mut self, n: usize) {
        self.x += n;
        if self.x == self.cols {
            (self.y, self.x) = (self.y + 1, 0);
        }
    }
}

impl<T: RegisterTile> Iterator for Positions<T> {
    /// The first position and how many there are, at most [`RegisterTile::MR`]; and their starts. Behind the last position
    /// of the range it is repeated, so that the register tile has something to read.
    type Item = (At, Starts);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        if self.position == self.end {
            return None;
        }
        let rows = T::MR.min(self.end - self.position);
        let at = At { position: self.position, y: self.y, x: self.x, rows, channel: 0 };
        let mut starts = Starts { first: self.start(), step: None, each: [0; MAX_MR] };
        if rows == T::MR && self.x + T::MR <= self.cols {
            starts.step = Some(self.col_step);
            self.advance(T::MR);
        } else {
            let mut start = starts.first;
            for m in 0..T::MR {
                if m < rows {
                    start = self.start();
                    self.advance(1);
                }
                starts.each[m] = start;
            }
        }
        self.position += rows;
        Some((at, starts))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::Rows;
    use super::*;
    use crate::kernel::Tile;
    use crate::kernel::micro::Field;
    use crate::kernel::pack::{Layout, Panels};

    /// Four positions that nobody computes.
    struct Four;

    impl RegisterTile for Four {
        const MR: usize = 4;
        const PANELS: usize = 1;

        unsafe fn run(_: &Field, _: &Rows<'_>, _: &mut [Tile; 2], _: usize) {}
    }

    #[test]
    fn every_position_comes_in_order_and_the_last_is_repeated() {
        let panels = Panels::new(Layout::Quads, 1, 1, 4, |_, _, _| 1);
        for (rows, cols) in [(1, 1), (1, 4), (2, 6), (3, 5), (7, 3), (4, 8), (5, 9)] {
            let layer =
                Layer { rows, cols, row_step: 100, col_step: 3, ..Layer::product(&[], 1, 1, &panels) };
            for (start, end) in (0..rows * cols).flat_map(|s| (s + 1..=rows * cols).map(move |e| (s, e))) {
                let mut next = start;
                for (at, starts) in Positions::<Four>::new(&layer, start..end, 2) {
                    assert_eq!((at.position, at.y, at.x), (next, next / cols, next % cols));
                    assert_eq!(at.rows, 4.min(end - next));
                    let base = std::ptr::null::<u8>();
                    for (m, x) in (Rows { codes: base, starts: &starts }).at::<4>(0).into_iter().enumerate() {
                        let position = (next + m).min(end - 1);
                        assert_eq!(x as usize, position / cols * 200 + position % cols * 6);
                    }
                    next += at.rows;
                }
                assert_eq!(next, end);
            }
        }
    }
}
