//! AVX-512 VNNI: `vpdpbusd` multiplies four u8 by four s8 and adds them to an i32, in 16 lanes.
//!
//! The instruction (not its saturating sister `vpdpbusds`) is exact: the four 17-bit products are
//! summed in 32 bits. A line of the panel is one register: lane `n` holds the four `k` of channel `n`.
//!
//! ```text
//! acc[m] += vpdpbusd( x of row m, 4 bytes in every lane ; line )
//! ```
//!
//! Registers: 12 accumulators, one line, one row; the twelve independent sums cover the instruction's
//! latency (4 cycles, up to 2 a cycle).
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::{K_GROUP, MicroKernel, NR, Operands, Tile};

const MR: usize = 12;

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx512vnni",
    mr: MR,
    nr: NR,
    k_group: K_GROUP,
    available: || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
    run,
};

/// # Safety
/// As `TileFn`: AVX-512 F and VNNI are there, `rows` has `MR` entries, every run lies within `a`, and
/// the panel has `segments * groups` lines.
#[target_feature(enable = "avx512f,avx512vnni")]
unsafe fn run(operands: &Operands<'_>, tile: &mut Tile) {
    let Operands { a, rows, segments, segment_stride, groups, panel } = *operands;
    let mut acc = [_mm512_setzero_si512(); MR];
    for segment in 0..segments {
        let starts: [*const u8; MR] =
            std::array::from_fn(|m| a.as_ptr().wrapping_add(rows[m] + segment * segment_stride));
        for (group, line) in panel[segment * groups..][..groups].iter().enumerate() {
            // SAFETY: a line is 64 bytes, aligned to 64.
            let w = unsafe { _mm512_load_si512((&raw const line.0).cast()) };
            for m in 0..MR {
                // SAFETY: the run of row `m` has `groups * 4` bytes within `a`.
                let x = unsafe { starts[m].add(group * K_GROUP).cast::<i32>().read_unaligned() };
                acc[m] = _mm512_dpbusd_epi32(acc[m], _mm512_set1_epi32(x), w);
            }
        }
    }
    for m in 0..MR {
        // SAFETY: a row of the tile holds 16 numbers, 64 bytes.
        unsafe { _mm512_storeu_si512(tile[m].as_mut_ptr().cast(), acc[m]) };
    }
}
