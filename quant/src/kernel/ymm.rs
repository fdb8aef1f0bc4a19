//! The register tile of 256 bits: `MR` rows by one panel, in two registers of 8 channels each.
//!
//! ```text
//!                          line: w of 16 channels, 4 bytes of k each
//!                        +-----------------+-----------------+
//!                        | channels 0..8   | channels 8..16  |          2 registers
//!                        +-----------------+-----------------+
//!  4 bytes of row 0  ->  | acc[0][0]       | acc[0][1]       |
//!  in every lane     1   | acc[1][0]       | acc[1][1]       |          2 MR registers
//!                    :   |    :            |    :            |
//! ```
//!
//! The instruction sets differ in one line, [`MultiplyAdd::multiply_add`], and in what it costs in registers, hence in
//! `MR`. There are 16 registers: `2 MR` sums, 2 for the line, 1 for the row, the rest for the multiplication.
//!
//! Everything here is `#[inline(always)]` without instructions of its own: it becomes a part of a `sweep` that has them
//! (see `micro_kernel!`). A function that the compiler did not inline would be compiled without them.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::Tile;
use super::lanes::Avx2Lanes;
use super::micro::{Field, Micro, RegisterTile};
use super::pack::Layout;
use super::sweep::Rows;

/// What an instruction set does with a register of codes and one of weights.
pub(super) trait MultiplyAdd {
    /// The order of the weights; a lane of 32 bits holds four codes ([`Layout::Quads`]) or two ([`Layout::Pairs`]).
    const LAYOUT: Layout = Layout::Quads;

    /// `acc + x w`, summed over the codes of each lane.
    ///
    /// # Safety
    /// The CPU has the instructions.
    unsafe fn multiply_add(acc: __m256i, x: __m256i, w: __m256i) -> __m256i;
}

/// The sums of `MR` rows.
pub(super) type Acc<const MR: usize> = [[__m256i; 2]; MR];

/// `MR` rows by one panel with the multiplication of `I`.
pub(super) struct Ymm<I, const MR: usize>(std::marker::PhantomData<I>);

impl<I: MultiplyAdd, const MR: usize> Micro for Ymm<I, MR> {
    const LAYOUT: Layout = I::LAYOUT;
    type Lanes = Avx2Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl<I: MultiplyAdd, const MR: usize> RegisterTile for Ymm<I, MR> {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut acc: Acc<MR> = [[_mm256_setzero_si256(); 2]; MR];
            let mut w: *const __m256i = field.w.cast();
            for segment in 0..field.segments {
                let lines = field.groups * I::LAYOUT.lines_per_group();
                multiply_lines::<I, MR>(&mut acc, x.at(segment * field.stride), &mut w, lines);
            }
            for m in 0..MR {
                for half in 0..2 {
                    _mm256_storeu_si256(tiles[0][row + m].as_mut_ptr().add(8 * half).cast(), acc[m][half]);
                }
            }
        }
    }
}

/// The innermost loop: the next `lines` lines of the panel by as many lanes of each row; `w` moves behind them.
///
/// # Safety
/// The CPU has the instructions of `I`; `w` leads to the lines, `x` to four bytes for each.
#[inline(always)]
pub(super) unsafe fn multiply_lines<I: MultiplyAdd, const MR: usize>(
    acc: &mut Acc<MR>,
    x: [*const u8; MR],
    w: &mut *const __m256i,
    lines: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        // book: multiply_lines
        for k in 0..lines {
            let line = [_mm256_load_si256(*w), _mm256_load_si256(w.add(1))];
            for m in 0..MR {
                let x = _mm256_set1_epi32(x[m].add(4 * k).cast::<i32>().read_unaligned());
                for half in 0..2 {
                    acc[m][half] = I::multiply_add(acc[m][half], x, line[half]);
                }
            }
            *w = w.add(2);
        }
        // book end
    }
}
