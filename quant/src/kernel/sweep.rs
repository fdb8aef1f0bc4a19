//! All tiles of a layer over one image: which activations meet which weights, in which order.
//!
//! ```text
//! for each block of positions                 whose codes stay in the second-level cache
//!   for each panel (or two)                   whose lines stay in the first-level cache
//!     for each 16 positions of the block
//!       register tiles of MR positions        whose sums go to memory
//!       epilogue of the 16 positions before   whose sums have left the store buffer
//! ```
//!
//! AMX has a loop of its own ([`super`]'s `amx.rs`) over the same blocks and panels.
#![allow(unsafe_code)]

use super::lanes::Lanes;
use super::pack::Line;
use super::{At, Epilogue, K_GROUP, Layer, MAX_MR, NR, Tile};

/// Memory the kernels need; one per thread, kept from layer to layer.
#[derive(Default)]
pub struct Scratch {
    wide: Vec<u16>,
    pub(super) sums: Box<Sums>,
}

/// Tiles that wait for the epilogue. A tile's sums are read when the next tile's products are on their way: by then they
/// have left the store buffer, and the epilogue runs beside those products.
pub(super) type Sums = [Buffer; 2];

/// The sums of one tile: here those of one turn, with AMX those of one of two registers of positions.
///
/// A load behind a store whose address ends in the same 12 bits waits for it; the space after the tiles keeps the first
/// planes of two turns apart (of two planes and two turns there are 8 KiB, which no order keeps apart).
#[derive(Default)]
pub(super) struct Buffer {
    /// `[plane][panel]`.
    pub tiles: [[Tile; 2]; 2],
    _space: [Tile; 2],
}

/// An instruction set's tiles.
pub(super) trait Micro {
    /// Bytes of a code as the tiles read it: with 2, [`Scratch`] holds a widened copy.
    const CODE_BYTES: usize = 1;
    /// What the tiles subtract from each code to make it signed; [`sweep`] corrects for it.
    const OFFSET: i32 = 0;
    /// Some sums of a row, for the epilogue.
    type Lanes: Lanes;
    /// For as many panels as are left.
    type Wide: RegisterTile;
    /// For a single panel.
    type Narrow: RegisterTile;
}

/// A block of sums that stays in registers while `k` runs.
pub(super) trait RegisterTile {
    /// Positions.
    const MR: usize;
    /// Panels of 16 channels.
    const PANELS: usize;

    /// # Safety
    /// The CPU has the instructions; `MR` positions of `x`, and `PANELS` of the field's panels, lead to as
    /// many codes and lines as the field says; the tiles have `MR` rows from `row` on.
    unsafe fn run(field: &Field, x: &Rows, tiles: &mut [Tile; 2], row: usize);
}

/// Where the codes of a tile's positions begin.
pub(super) struct Rows {
    /// Of the first position, if all are neighbours in one row of the image; else of the plane.
    base: *const u8,
    /// Bytes from a neighbour to the next.
    step: Option<usize>,
    /// From `base` to each position, if they are not neighbours.
    offsets: [usize; MAX_MR],
}

impl Rows {
    /// The first position's codes, if all positions are neighbours.
    #[cfg_attr(not(target_arch = "x86_64"), expect(dead_code))] // for `avx512vnni.rs`
    #[inline(always)]
    pub fn first(&self) -> Option<*const u8> {
        self.step.map(|_| self.base)
    }

    /// `offset` bytes behind the beginning of each position.
    #[inline(always)]
    pub fn at<const MR: usize>(&self, offset: usize) -> [*const u8; MR] {
        let mut x = [self.base.wrapping_add(offset); MR];
        for m in 0..MR {
            x[m] = x[m].wrapping_add(match self.step {
                // Computed, not kept: an array written as a vector and read one by one would wait for the store buffer.
                Some(step) => m * step,
                None => self.offsets[m],
            });
        }
        x
    }
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

/// Activations of a block of positions: half of a small second-level cache.
const BLOCK_BYTES: usize = 256 << 10;

/// Runs the layer with the tiles of `M`. Each instruction set calls it from a function that has its
/// instructions.
///
/// # Safety
/// The CPU has the instructions; [`Layer::check`] passed.
#[inline(always)]
pub(super) unsafe fn sweep<M: Micro, E: Epilogue>(
    layer: &Layer<'_>,
    scratch: &mut Scratch,
    epilogue: &mut E,
) {
    let mut planes = [std::ptr::null::<u8>(); 2];
    if M::CODE_BYTES == 2 {
        scratch.wide.clear();
        for plane in layer.planes {
            scratch.wide.extend(plane.iter().map(|&code| u16::from(code)));
        }
        let mut start = scratch.wide.as_ptr();
        for (to, plane) in planes.iter_mut().zip(layer.planes) {
            *to = start.cast();
            start = start.wrapping_add(plane.len());
        }
    } else {
        for (to, plane) in planes.iter_mut().zip(layer.planes) {
            *to = plane.as_ptr();
        }
    }
    let planes = &planes[..layer.planes.len()];
    let sums = &mut *scratch.sums;
    let positions = layer.rows * layer.cols;
    let position_bytes = layer.segments * layer.groups * K_GROUP * M::CODE_BYTES;
    let block = (BLOCK_BYTES / position_bytes).next_multiple_of(MAX_MR).max(MAX_MR);
    for first in (0..positions).step_by(block) {
        let block = first..positions.min(first + block);
        let mut panel = 0;
        while panel < layer.panels.count() {
            // SAFETY: the caller's contract; `panel` and the `PANELS - 1` after it exist.
            unsafe {
                if layer.panels.count() - panel >= M::Wide::PANELS {
                    tiles::<M, M::Wide, E>(layer, planes, panel, block.clone(), sums, epilogue);
                    panel += M::Wide::PANELS;
                } else {
                    tiles::<M, M::Narrow, E>(layer, planes, panel, block.clone(), sums, epilogue);
                    panel += M::Narrow::PANELS;
                }
            }
        }
    }
}

/// All tiles of one panel (or two) over a block of positions. In the last register tile, rows beyond the last
/// position repeat it.
///
/// # Safety
/// As [`sweep`]; the panels exist.
#[inline(always)]
unsafe fn tiles<M: Micro, T: RegisterTile, E: Epilogue>(
    layer: &Layer<'_>,
    planes: &[*const u8],
    panel: usize,
    block: std::ops::Range<usize>,
    sums: &mut Sums,
    epilogue: &mut E,
) {
    let field = Field::new(layer, panel, M::CODE_BYTES);
    let [row_step, col_step] = [layer.row_step, layer.col_step].map(|step| step * M::CODE_BYTES);
    let mut waiting: Option<At> = None;
    let (mut turn, mut position) = (0, block.start);
    let (mut y, mut x) = (block.start / layer.cols, block.start % layer.cols);
    while position < block.end || waiting.is_some() {
        let mut next: Option<At> = None;
        // As many register tiles as one tile of sums holds: an epilogue has constants to fetch.
        for row in (0..=MAX_MR - T::MR).step_by(T::MR) {
            if position == block.end {
                break;
            }
            let count = T::MR.min(block.end - position);
            let at = next.get_or_insert(At { position, y, x, rows: 0, channel: 0 });
            at.rows += count;
            let neighbours = count == T::MR && x + T::MR <= layer.cols;
            let first = y * row_step + x * col_step;
            let mut offsets = [0; MAX_MR];
            if neighbours {
                x += T::MR - 1;
            } else {
                for m in 0..T::MR {
                    offsets[m] = y * row_step + x * col_step;
                    // Rows beyond the last position repeat it.
                    if m + 1 < count {
                        x += 1;
                        if x == layer.cols {
                            (y, x) = (y + 1, 0);
                        }
                    }
                }
            }
            x += 1;
            if x == layer.cols {
                (y, x) = (y + 1, 0);
            }
            position += count;
            for (sums, &codes) in sums[turn].tiles.iter_mut().zip(planes) {
                let rows = if neighbours {
                    Rows { base: codes.wrapping_add(first), step: Some(col_step), offsets }
                } else {
                    Rows { base: codes, step: None, offsets }
                };
                // SAFETY: the caller's contract: `check` bounded every position's codes; `row + MR` is at most `MAX_MR`.
                unsafe { T::run(&field, &rows, sums, row) };
                if M::OFFSET != 0 {
                    for (p, tile) in sums[..T::PANELS].iter_mut().enumerate() {
                        for row in &mut tile[row..row + T::MR] {
                            for (sum, w) in row.iter_mut().zip(layer.panels.sums(panel + p)) {
                                *sum = sum.wrapping_add(w.wrapping_mul(M::OFFSET));
                            }
                        }
                    }
                }
            }
        }
        if let Some(at) = waiting {
            let [low, high] = &sums[1 - turn].tiles;
            for p in 0..T::PANELS {
                let at = At { channel: (panel + p) * NR, ..at };
                epilogue.tile::<M::Lanes>(&[&low[p], &high[p]][..planes.len()], at);
            }
        }
        (waiting, turn) = (next, 1 - turn);
    }
}
