//! All tiles of a layer over one image: which activations meet which weights, in which order.
//!
//! ```text
//!                            <--- NR channels --->                      for ic   MC positions: their codes stay in
//!                            +-------+-------+----                               the second-level cache
//!                         K  | panel | panel | ...  w                     for jr   a panel of NR channels, or two: it
//!                            |   jr  |       |                                     stays in the first-level cache
//!    <----- K ----->         +-------+-------+----                          for ir   MR positions:
//!  +-+---------------+       +-------+-------+----                                   the register tile, k inside;
//!  |M| MR rows    ir |       | tile  |       |                                     epilogue of the tile before
//!  |C|---------------|  -->  |-------|       |
//!  | | MR rows       |       |       |       |      sums
//!  +-+---------------+  ic   +-------+-------+----
//!    a: codes, read where they lie
//! ```
//!
//! The names are those of Goto's matrix product as BLIS writes it (Van Zee and van de Geijn, "BLIS: A Framework for
//! Rapidly Instantiating BLAS Functionality", 2015). There are five loops there, `jc pc ic jr ir`. Two of them have one step
//! here, so they are not written: `jc`, as the panels of all channels fit the second-level cache (`NC = N`), and `pc`,
//! as all of `k` runs inside the register tile (`KC = K`); a sum is written once, when it is complete.
//!
//! AMX has a loop of its own (`amx.rs`) with the same three loops.
#![allow(unsafe_code)]

mod pending;
mod positions;
mod rows;

use std::ops::Range;

use super::micro::{Field, Micro, RegisterTile};
use super::{At, Epilogue, K_GROUP, Layer, MAX_MR, Tile};
use pending::Pending;
pub(super) use pending::Sums;
use positions::Positions;
pub(super) use rows::Rows;

/// Memory the kernels need; one per thread, kept from layer to layer.
#[derive(Default)]
pub struct Scratch {
    wide: Vec<u16>,
    pub(super) sums: Box<Sums>,
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
    let Scratch { wide, sums } = scratch;
    let code_bytes = M::LAYOUT.weight_bytes();
    let planes = if code_bytes == 2 { widen(layer.planes, wide) } else { starts(layer.planes) };
    let planes = &planes[..layer.planes.len()];
    let (positions, panels) = (layer.rows * layer.cols, layer.panels.count());
    let position_bytes = layer.segments * layer.groups * K_GROUP * code_bytes;
    let mc = (BLOCK_BYTES / position_bytes).next_multiple_of(MAX_MR).max(MAX_MR);
    for ic in (0..positions).step_by(mc) {
        let block = ic..positions.min(ic + mc);
        let mut jr = 0;
        while jr < panels {
            // SAFETY: the caller's contract; panel `jr` and the `PANELS - 1` after it exist.
            unsafe {
                if panels - jr >= M::Wide::PANELS {
                    tiles::<M, M::Wide, E>(layer, planes, jr, block.clone(), sums, epilogue);
                    jr += M::Wide::PANELS;
                } else {
                    tiles::<M, M::Narrow, E>(layer, planes, jr, block.clone(), sums, epilogue);
                    jr += M::Narrow::PANELS;
                }
            }
        }
    }
}

/// All tiles of the `T::PANELS` panels from `jr` on, over a block of positions.
///
/// # Safety
/// As [`sweep`]; the panels exist.
#[inline(always)]
unsafe fn tiles<M: Micro, T: RegisterTile, E: Epilogue>(
    layer: &Layer<'_>,
    planes: &[*const u8],
    jr: usize,
    block: Range<usize>,
    sums: &mut Sums,
    epilogue: &mut E,
) {
    let code_bytes = M::LAYOUT.weight_bytes();
    let field = Field::new(layer, jr, code_bytes);
    // book: turns
    let mut positions = Positions::<T>::new(layer, block, code_bytes);
    let mut pending = Pending::new(sums);
    loop {
        let buffer = pending.free();
        let mut tile: Option<At> = None;
        // As many register tiles as one tile of sums holds: an epilogue has constants to fetch.
        for ir in (0..=MAX_MR - T::MR).step_by(T::MR) {
            let Some((at, starts)) = positions.next() else { break };
            tile.get_or_insert(At { rows: 0, ..at }).rows += at.rows;
            for (tiles, &codes) in buffer.tiles.iter_mut().zip(planes) {
                // SAFETY: the caller's contract: `check` bounded every position's codes; `ir + MR` is at most `MAX_MR`.
                unsafe { T::run(&field, &Rows { codes, starts: &starts }, tiles, ir) };
                if M::OFFSET != 0 {
                    correct::<M, T>(layer, jr, tiles, ir);
                }
            }
        }
        // One turn more than there are tiles: in the last one nothing is multiplied.
        if let Some((at, sums)) = pending.exchange(tile) {
            sums.finish::<M::Lanes, E>(at, jr..jr + T::PANELS, planes.len(), epilogue);
        }
        if pending.is_empty() {
            break;
        }
    }
    // book end
}

/// `sum x w = sum (x - offset) w + offset sum w`: adds what the tiles left out when they made codes signed.
#[inline(always)]
fn correct<M: Micro, T: RegisterTile>(layer: &Layer<'_>, jr: usize, tiles: &mut [Tile; 2], ir: usize) {
    for (p, tile) in tiles[..T::PANELS].iter_mut().enumerate() {
        for row in &mut tile[ir..ir + T::MR] {
            for (sum, w) in row.iter_mut().zip(layer.panels.sums(jr + p)) {
                *sum = sum.wrapping_add(w.wrapping_mul(M::OFFSET));
            }
        }
    }
}

/// Where each plane begins; there are at most two.
fn starts(planes: &[&[u8]]) -> [*const u8; 2] {
    std::array::from_fn(|i| planes.get(i).map_or(std::ptr::null(), |plane| plane.as_ptr()))
}

/// The same, of copies in 16 bits.
#[inline(always)]
fn widen(planes: &[&[u8]], wide: &mut Vec<u16>) -> [*const u8; 2] {
    let len = planes.iter().map(|plane| plane.len()).sum();
    wide.resize(len, 0);
    let mut rest = &mut wide[..];
    for plane in planes {
        let (copy, behind) = rest.split_at_mut(plane.len());
        // A loop, not `extend`: the compiler makes vectors of it.
        for (to, &code) in copy.iter_mut().zip(*plane) {
            *to = u16::from(code);
        }
        rest = behind;
    }
    [wide.as_ptr().cast(), wide.as_ptr().wrapping_add(planes[0].len()).cast()]
}
