//! NEON with the dot product extension: `sdot` multiplies four s8 by four s8 and adds them to an i32, in
//! four lanes.
//!
//! The products are summed in 32 bits: exact. The codes are made signed as in `neon.rs`: `x - 128`, and the
//! sweep adds `128 * sum w` back ([`Micro::OFFSET`]). The intrinsic of `sdot` is not stable, the instruction
//! is: inline assembly, behind the detection of `dotprod`.
//!
//! `sdot` can take its second operand from one lane of a register, so that 16 codes of a row are loaded and
//! flipped at once and serve four groups, without a broadcast:
//!
//! ```text
//! acc[m][quarter] += sdot( a quarter of a line: 4 channels x 4 ; x of row m, lane 0, 1, 2, 3 )
//! ```
//!
//! What is left of a run, up to three groups, is broadcast a group at a time. Registers: 4 rows x 4 = 16
//! accumulators, 4 for the line, 4 for the rows, the flipped bits: 25 of 32; 16 sums in flight hide the
//! latency of `sdot` on cores that start two in a cycle.
#![allow(unsafe_code)]

use std::arch::aarch64::*;
use std::arch::{asm, is_aarch64_feature_detected};

use super::lanes::NeonLanes;
use super::micro::{Field, Micro, RegisterTile};
use super::sweep::Rows;
use super::{K_GROUP, Tile};

const MR: usize = 4;

micro_kernel! {
    name: neondot,
    isa: "neondot",
    // On a big-endian machine the bytes of a broadcast word come in the other order.
    available: cfg!(target_endian = "little") && is_aarch64_feature_detected!("dotprod"),
    features: "neon,dotprod",
    max_weight: 128,
    tiles: NeonDot,
}

pub(super) struct NeonDot;

impl Micro for NeonDot {
    const OFFSET: i32 = 128;
    type Lanes = NeonLanes;
    type Wide = Self;
    type Narrow = Self;
}

type Sums = [[int32x4_t; 4]; MR];

/// `acc[m] += line . lane LANE of x[m]`, and the line of the next group.
///
/// # Safety
/// The CPU has the dot product; `w` leads to a line.
#[inline(always)]
unsafe fn group<const LANE: i32>(acc: &mut Sums, w: &mut *const i8, x: &[int8x16_t; MR]) {
    // SAFETY: the caller vouches for the line, and for the instruction, which touches nothing but registers.
    unsafe {
        let line: [int8x16_t; 4] = std::array::from_fn(|quarter| vld1q_s8(w.add(16 * quarter)));
        for m in 0..MR {
            for quarter in 0..4 {
                asm!(
                    "sdot {acc:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
                    acc = inout(vreg) acc[m][quarter],
                    w = in(vreg) line[quarter],
                    x = in(vreg) x[m],
                    lane = const LANE,
                    options(pure, nomem, nostack, preserves_flags),
                );
            }
        }
        *w = w.add(64);
    }
}

impl RegisterTile for NeonDot {
    const MR: usize = MR;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let flip = vdupq_n_u8(128);
            let signed = |codes| vreinterpretq_s8_u8(veorq_u8(codes, flip));
            let mut acc: Sums = [[vdupq_n_s32(0); 4]; MR];
            let mut w: *const i8 = field.w.cast();
            for segment in 0..field.segments {
                let mut x: [*const u8; MR] = x.at(segment * field.stride);
                for _ in 0..field.groups / 4 {
                    let codes = x.map(|x| signed(vld1q_u8(x)));
                    group::<0>(&mut acc, &mut w, &codes);
                    group::<1>(&mut acc, &mut w, &codes);
                    group::<2>(&mut acc, &mut w, &codes);
                    group::<3>(&mut acc, &mut w, &codes);
                    x = x.map(|x| x.add(4 * K_GROUP));
                }
                for _ in 0..field.groups % 4 {
                    let word = |x: *const u8| vdupq_n_u32(x.cast::<u32>().read_unaligned());
                    let codes = x.map(|x| signed(vreinterpretq_u8_u32(word(x))));
                    group::<0>(&mut acc, &mut w, &codes);
                    x = x.map(|x| x.add(K_GROUP));
                }
            }
            for m in 0..MR {
                for quarter in 0..4 {
                    vst1q_s32(tiles[0][row + m].as_mut_ptr().add(4 * quarter), acc[m][quarter]);
                }
            }
        }
    }
}
