//! WebAssembly's vectors of 128 bits, all weights: both sides in 16 bits, `i32x4.dot_i16x8_s` adds pairs in 32.
//!
//! There is no instruction that multiplies u8 by s8, and none that is exact and adds up four bytes in every engine (the
//! relaxed ones may saturate, or not). So the operands are widened as for `avx2.rs`: weights when they are packed,
//! codes once per image. A pair is at most `2 * 255 * 128 < 2^17`. Inside the tile there is nothing but
//!
//! ```text
//! acc[m][quarter] += dot( x of row m, 2 x u16 in every lane ; a quarter of a line: 4 channels x 2 x i16 )
//! ```
//!
//! A module does not choose its registers; the engine does, and on x86-64 it has 16: 2 rows x 4 quarters = 8 sums, 4 for
//! the line, 1 for the row, 1 for the product.
//!
//! An engine without these instructions refuses a module that contains one, so there is nothing to detect at run time:
//! this file is compiled where the target has `simd128`.
#![allow(unsafe_code)]

use std::arch::wasm32::*;

use super::Tile;
use super::lanes::Simd128Lanes;
use super::micro::{Field, Micro, RegisterTile};
use super::pack::Layout;
use super::sweep::Rows;

const MR: usize = 2;

micro_kernel! {
    name: simd128,
    isa: "simd128",
    available: true,
    max_weight: 128,
    tiles: Simd128,
}

pub(super) struct Simd128;

impl Micro for Simd128 {
    const LAYOUT: Layout = Layout::Pairs;
    type Lanes = Simd128Lanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Simd128 {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut acc = [[i32x4_splat(0); 4]; MR];
            let mut w: *const v128 = field.w.cast();
            for segment in 0..field.segments {
                let x: [*const u8; MR] = x.at(segment * field.stride);
                for k in 0..field.groups * Layout::Pairs.lines_per_group() {
                    let line: [v128; 4] = std::array::from_fn(|quarter| v128_load(w.add(quarter)));
                    for m in 0..MR {
                        let x = v128_load32_splat(x[m].add(4 * k).cast());
                        for quarter in 0..4 {
                            acc[m][quarter] = i32x4_add(acc[m][quarter], i32x4_dot_i16x8(x, line[quarter]));
                        }
                    }
                    w = w.add(4);
                }
            }
            for m in 0..MR {
                for quarter in 0..4 {
                    v128_store(tiles[0][row + m].as_mut_ptr().add(4 * quarter).cast(), acc[m][quarter]);
                }
            }
        }
    }
}
