//! NEON, which every 64-bit ARM has: `smull` multiplies bytes into 16 bits, `sadalp` adds pairs into 32.
//!
//! There is no multiplication of u8 by s8, so the codes are made signed: `x - 128` is `x` with its highest
//! bit flipped, and the sweep adds `128 * sum w` back ([`Micro::OFFSET`]). Then
//!
//! ```text
//! | (x - 128) w |  <=  128 * 128  =  16384  <  2^15         a product fits 16 bits,
//! 2 * 16384        =   32768  =  2^15                       the sum of two does not:
//! ```
//!
//! so products never meet in 16 bits. `sadalp` widens as it adds, which is exact for every u8 and s8;
//! `smlal` in place of the second `smull` would be faster and wrong for (0, -128) twice.
//!
//! ```text
//! acc[m][pair] += sadalp( smull( x of row m, 4 bytes twice ; an eighth of a line: 2 channels x 4 ) )
//! ```
//!
//! A channel's sum lies in two lanes, which `addp` joins at the end. Registers: 2 rows x 8 = 16
//! accumulators, 8 (halves) for the line, the row, products in flight: 32 are enough. With 3 rows they would
//! not be, for a smaller gain than spilling costs: 16 of 20 instructions of a row and group do the work.
#![allow(unsafe_code)]

use std::arch::aarch64::*;

use super::lanes::NeonLanes;
use super::micro::{Field, Micro, RegisterTile};
use super::sweep::Rows;
use super::{K_GROUP, Tile};

const MR: usize = 2;

micro_kernel! {
    name: neon,
    isa: "neon",
    // On a big-endian machine the bytes of a broadcast word come in the other order.
    available: cfg!(target_endian = "little"),
    features: "neon",
    max_weight: 128,
    tiles: Neon,
}

pub(super) struct Neon;

impl Micro for Neon {
    const OFFSET: i32 = 128;
    type Lanes = NeonLanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Neon {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut acc = [[vdupq_n_s32(0); 8]; MR];
            let mut w: *const i8 = field.w.cast();
            for segment in 0..field.segments {
                let x: [*const u8; MR] = x.at(segment * field.stride);
                for group in 0..field.groups {
                    let line: [int8x8_t; 8] = std::array::from_fn(|pair| vld1_s8(w.add(8 * pair)));
                    for m in 0..MR {
                        let codes = x[m].add(group * K_GROUP).cast::<u32>().read_unaligned();
                        let x = vreinterpret_s8_u32(vdup_n_u32(codes ^ 0x8080_8080));
                        for pair in 0..8 {
                            acc[m][pair] = vpadalq_s16(acc[m][pair], vmull_s8(x, line[pair]));
                        }
                    }
                    w = w.add(64);
                }
            }
            for m in 0..MR {
                for quarter in 0..4 {
                    let sums = vpaddq_s32(acc[m][2 * quarter], acc[m][2 * quarter + 1]);
                    vst1q_s32(tiles[0][row + m].as_mut_ptr().add(4 * quarter), sums);
                }
            }
        }
    }
}
