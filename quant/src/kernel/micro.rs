//! What an instruction set gives to the sweep: its register tiles, and what all tiles of a layer have in common.
#![allow(unsafe_code)]

use super::lanes::Lanes;
use super::pack::{Layout, Line};
use super::sweep::Rows;
use super::{K_GROUP, Layer, NR, Tile};

/// An instruction set's tiles.
pub(super) trait Micro {
    /// The order in which the tiles read weights. With [`Layout::Pairs`] codes have 16 bits too: the sweep makes a
    /// widened copy.
    const LAYOUT: Layout = Layout::Quads;
    /// What the tiles subtract from each code to make it signed; the sweep corrects for it.
    const OFFSET: i32 = 0;
    /// Some sums of a row, for the epilogue.
    type Lanes: Lanes;
    /// For as many panels as are left.
    type Wide: RegisterTile;
    /// For a single panel.
    type Narrow: RegisterTile;
}

/// Rows (positions) and columns (channels) of an instruction set's widest register tile.
pub(super) const fn widest<M: Micro>() -> [usize; 2] {
    [M::Wide::MR, NR * M::Wide::PANELS]
}

/// A block of sums that stays in registers while `k` runs.
pub(super) trait RegisterTile {
    /// Positions.
    const MR: usize;
    /// Panels of 16 channels.
    const PANELS: usize;

    /// Computes `MR` positions by `PANELS` panels and writes them to the rows of `tiles` from `row` on.
    ///
    /// # Safety
    /// The CPU has the instructions; `MR` positions of `x`, and `PANELS` of the field's panels, lead to as
    /// many codes and lines as the field says; the tiles have `MR` rows from `row` on.
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize);
}

/// What the tiles of a layer have in common.
#[derive(Clone, Copy)]
pub(super) struct Field {
    /// Runs of a position.
    pub segments: usize,
    /// Bytes from one run to the next.
    pub stride: usize,
    /// Groups in a run.
    pub groups: usize,
    /// Groups from a position to its neighbour, if a run covers three positions exactly (the 3x3 convolution of stride 1);
    /// else 0.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))] // for `avx512vnni.rs`
    pub third: usize,
    /// The largest `|w|`.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))] // for `avx2_w4.rs`
    pub max_weight: i32,
    /// The first panel.
    pub w: *const Line,
    /// Lines from a panel to the next.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))] // no tile of two panels there
    pub panel: usize,
}

impl Field {
    /// `panel` and, if there is one, the panel after it.
    pub fn new(layer: &Layer<'_>, panel: usize, code_bytes: usize) -> Self {
        let neighbours = 3 * layer.col_step == layer.groups * K_GROUP;
        Self {
            segments: layer.segments,
            stride: layer.segment_stride * code_bytes,
            groups: layer.groups,
            third: if neighbours { layer.groups / 3 } else { 0 },
            max_weight: layer.panels.max_weight(),
            w: layer.panels.panel(panel).as_ptr(),
            panel: layer.panels.lines_per_panel(),
        }
    }
}
