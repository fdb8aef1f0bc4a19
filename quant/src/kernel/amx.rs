//! AMX: `tdpbusd` multiplies a tile of 16 positions by 64 codes with one of 64 codes by 16 channels.
//!
//! A tile register holds up to 16 rows of 64 bytes. Rows of the left operand are runs of codes, read where they lie:
//! neighbouring positions of an NHWC image begin a fixed number of bytes apart, and that is what `tileloadd` takes, a
//! start and a stride: a register holds positions of one row of the image ([`Cut`]). Rows of the right operand are the
//! lines of a panel ([`Layout::Quads`]): four `k` of sixteen channels. So neither operand is copied.
//!
//! ```text
//!                           tmm6: lines of panel 0     tmm7: of panel 1
//!   tmm4: 16 positions        tmm0 += tmm4 tmm6          tmm2 += tmm4 tmm7
//!   tmm5: 16 more             tmm1 += tmm5 tmm6          tmm3 += tmm5 tmm7
//! ```
//!
//! Four loads of 16 rows for four products. In cycles of 3.8 GHz a product takes 19, a load 11 if no row crosses a cache
//! line, 58 if all do; [`Plane`](super::plane::Plane) is why they rarely do. A run of codes is cut into equal chunks of at most 16
//! groups, so that one configuration serves a layer: 48 bytes of the 64 for 16 and 32 channels, all 64 for 64 channels.
//!
//! A pair of registers is done in this order: its products, the *previous* pair's epilogue, its stores. So the epilogue
//! runs while the products do, and its loads come before the stores that could hold them up.
//!
//! The products are exact: four products of u8 x s8 and their sum with an i32, as in `vpdpbusd`. Rust has no stable
//! intrinsics for AMX yet, so the instructions stand in inline assembly; nothing else in a program uses the tile
//! registers. Linux gives them to a process that asks (`arch_prctl`).
#![allow(unsafe_code)]

mod registers;

use std::arch::asm;
use std::ops::Range;

use super::lanes::Avx512Lanes;
use super::pack::Layout;
use super::micro::Field;
use super::sweep::Sums;
use super::{At, Epilogue, Id, K_GROUP, Layer, MicroKernel, NR, Scratch, Tile};
use registers::{Config, ROW_BYTES, ROWS, available};

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "amx",
    isa: "amx",
    tile: [2 * ROWS, 2 * NR],
    max_weight: 128,
    layout: Layout::Quads,
    available,
    id: Id::amx,
};

/// Products on registers alone, four at a time, for the measurement of the peak; returns their multiply-adds.
///
/// # Safety
/// The CPU has AMX for bytes.
pub(super) unsafe fn products(steps: usize) -> usize {
    let config = Config::new(ROWS, ROWS);
    // SAFETY: the configuration is of palette 1 and within its limits, and sets all registers to zero.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        for _ in 0..steps {
            asm!(
                "tdpbusd tmm0, tmm4, tmm6",
                "tdpbusd tmm1, tmm5, tmm6",
                "tdpbusd tmm2, tmm4, tmm7",
                "tdpbusd tmm3, tmm5, tmm7",
                options(nostack, nomem)
            );
        }
        asm!("tilerelease", options(nostack, nomem));
    }
    steps * 4 * ROWS * NR * ROW_BYTES
}

/// Activations of a block of positions: they stay in the first-level cache while the weights pass by.
const BLOCK_BYTES: usize = 32 << 10;

/// How a layer's positions go into tile registers: those of one register are neighbours in a row of the image.
///
/// A row of `cols` positions takes as few registers as hold it, of equal height; the last one begins where it ends with the
/// row, so it may repeat positions of the one before.
struct Cut {
    /// Positions of a register.
    rows: usize,
    /// Registers for a row of the image.
    per_row: usize,
    /// Groups of a register's row: the largest divisor of a run's groups.
    chunk: usize,
}

impl Cut {
    fn new(layer: &Layer<'_>) -> Self {
        let per_row = layer.cols.div_ceil(ROWS);
        let chunk = (1..=ROWS).rev().find(|n| layer.groups.is_multiple_of(*n)).unwrap_or(1);
        Self { rows: layer.cols.div_ceil(per_row), per_row, chunk }
    }

    /// Where register `i` stands.
    fn at(&self, layer: &Layer<'_>, i: usize) -> At {
        let (y, x) = (i / self.per_row, (i % self.per_row * self.rows).min(layer.cols - self.rows));
        At { position: y * layer.cols + x, y, x, rows: self.rows, channel: 0 }
    }
}

/// Runs the layer: the loops `ic`, `jr` and `ir` of [`super::sweep`], two registers of positions by two panels at a time.
///
/// # Safety
/// The CPU has AMX for bytes and AVX-512 F and BW; the layer was checked.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    let cut = Cut::new(layer);
    let config = Config::new(cut.rows, cut.chunk);
    let register_bytes = layer.segments * layer.groups * K_GROUP * cut.rows;
    let (registers, panels) = (layer.rows * cut.per_row, layer.panels.count());
    let mc = (BLOCK_BYTES / register_bytes).next_multiple_of(2).max(2); // in registers, not positions
    // SAFETY: the configuration is of palette 1 and within its limits; the rest is the caller's promise.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        for ic in (0..registers).step_by(mc) {
            let block = ic..registers.min(ic + mc);
            let mut jr = 0;
            while jr < panels {
                if panels - jr >= 2 {
                    tiles::<2, E>(layer, &cut, jr, block.clone(), &mut scratch.sums, epilogue);
                    jr += 2;
                } else {
                    tiles::<1, E>(layer, &cut, jr, block.clone(), &mut scratch.sums, epilogue);
                    jr += 1;
                }
            }
        }
        asm!("tilerelease", options(nostack, nomem));
    }
}

/// All tiles of the `P` panels from `jr` on, over a block of registers, in pairs. The tile registers themselves are one half
/// of the double buffer here, the two [`Sums`] together the other.
///
/// # Safety
/// As [`sweep`], which configured the registers for this cut; the panels exist.
#[inline(always)]
unsafe fn tiles<const P: usize, E: Epilogue>(
    layer: &Layer<'_>,
    cut: &Cut,
    jr: usize,
    block: Range<usize>,
    sums: &mut Sums,
    epilogue: &mut E,
) {
    let field = Field::new(layer, jr, 1);
    let step = layer.col_step;
    let mut waiting: Option<[At; 2]> = None;
    let mut ir = block.start;
    while ir < block.end || waiting.is_some() {
        // Without a second one, the first is computed twice.
        let pair = [ir, (ir + 1).min(block.end - 1)].map(|i| cut.at(layer, i));
        let next = (ir < block.end).then_some(pair);
        let start = |plane: &[u8], at: At| plane.as_ptr().wrapping_add(at.y * layer.row_step + at.x * step);
        let starts = |plane: usize| pair.map(|at| start(layer.planes[plane], at));
        // SAFETY: the caller's contract: `check` bounded every position's codes.
        unsafe {
            if next.is_some() {
                products_of::<P>(&field, cut.chunk, starts(0), step);
            }
            // While these products run, what becomes of the ones before: their sums are read before the new ones take their
            // place in memory, so that no load has to wait for a store.
            if let Some(pair) = waiting {
                for (at, buffer) in pair.into_iter().zip(&*sums) {
                    buffer.finish::<Avx512Lanes, E>(at, jr..jr + P, layer.planes.len(), epilogue);
                }
            }
            let [a, b] = &mut *sums;
            if next.is_some() {
                store::<P>([&mut a.tiles[0], &mut b.tiles[0]]);
                if layer.planes.len() == 2 {
                    products_of::<P>(&field, cut.chunk, starts(1), step);
                    store::<P>([&mut a.tiles[1], &mut b.tiles[1]]);
                }
            }
        }
        (waiting, ir) = (next, ir + 2);
    }
}

/// The sums of two registers of positions by `P` panels, in tmm0 to tmm3.
///
/// # Safety
/// As [`tiles`]; both starts, and as many positions behind each as a register has, `step` apart, lead to the codes that
/// the field says.
#[inline(always)]
unsafe fn products_of<const P: usize>(field: &Field, chunk: usize, start: [*const u8; 2], step: usize) {
    let bytes = chunk * K_GROUP;
    let mut w = field.w;
    // SAFETY: the caller vouches for the instructions, the codes and the lines.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for segment in 0..field.segments {
            let [mut a, mut b] = start.map(|start| start.add(segment * field.stride));
            for _ in 0..field.groups / chunk {
                asm!(
                    "tileloadd tmm6, [{w} + {line}*1]",
                    "tileloadd tmm4, [{a} + {step}*1]",
                    "tdpbusd tmm0, tmm4, tmm6",
                    "tileloadd tmm5, [{b} + {step}*1]",
                    "tdpbusd tmm1, tmm5, tmm6",
                    w = in(reg) w, line = in(reg) ROW_BYTES, a = in(reg) a, b = in(reg) b, step = in(reg) step,
                    options(nostack, readonly),
                );
                if P == 2 {
                    asm!(
                        "tileloadd tmm7, [{w} + {line}*1]",
                        "tdpbusd tmm2, tmm4, tmm7",
                        "tdpbusd tmm3, tmm5, tmm7",
                        w = in(reg) w.add(field.panel), line = in(reg) ROW_BYTES,
                        options(nostack, readonly),
                    );
                }
                (a, b, w) = (a.add(bytes), b.add(bytes), w.add(chunk));
            }
        }
    }
}

/// Writes tmm0 and tmm2 to the tiles of the first register's panels, tmm1 and tmm3 to those of the second.
///
/// # Safety
/// The registers are configured with at most sixteen rows of 64 bytes.
#[inline(always)]
unsafe fn store<const P: usize>([a, b]: [&mut [Tile; 2]; 2]) {
    // SAFETY: a tile has sixteen rows of 64 bytes.
    unsafe {
        asm!(
            "tilestored [{a} + {row}*1], tmm0", "tilestored [{b} + {row}*1], tmm1",
            a = in(reg) a[0].as_mut_ptr(), b = in(reg) b[0].as_mut_ptr(), row = in(reg) ROW_BYTES,
            options(nostack),
        );
        if P == 2 {
            asm!(
                "tilestored [{a} + {row}*1], tmm2", "tilestored [{b} + {row}*1], tmm3",
                a = in(reg) a[1].as_mut_ptr(), b = in(reg) b[1].as_mut_ptr(), row = in(reg) ROW_BYTES,
                options(nostack),
            );
        }
    }
}
