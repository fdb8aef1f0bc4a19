//! AVX-512 VNNI: `vpdpbusd` multiplies four u8 by four s8 and adds them to an i32, in 16 lanes.
//!
//! The instruction (not its saturating sister `vpdpbusds`) is exact: the four 17-bit products are
//! summed in 32 bits. A line of the panel is one register: lane `n` holds the four `k` of channel `n`.
//!
//! ```text
//! acc[p][m] += vpdpbusd( x of row m, 4 bytes in every lane ; line of panel p )
//! ```
//!
//! Two tiles: 8 rows by 2 panels where there are two, else 16 rows by 1. Where the rows are neighbours, the window is
//! three pixels wide, and the channels are 4, 16, 32 or 64, four channels of a pixel are broadcast once for three rows:
//!
//! ```text
//!   pixel    0     1     2     3     4   ...
//!   tap 0   acc0  acc1  acc2  acc3  acc4          pixel p is tap t of row p - t
//!   tap 1         acc0  acc1  acc2  acc3
//!   tap 2               acc0  acc1  acc2
//! ```
//!
//! For 48 products 18 broadcasts and 3 lines with one panel, 10 and 6 with two, instead of 51 and 30 loads. See
//! `docs/kernels.md`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx512Lanes;
use super::micro::{Field, Micro, RegisterTile};
use super::pack::Line;
use super::sweep::Rows;
use super::{K_GROUP, Tile};

micro_kernel! {
    name: avx512vnni,
    isa: "avx512vnni",
    available: is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vnni"),
    features: "avx512f,avx512bw,avx512vnni",
    max_weight: 128,
    tiles: Avx512Vnni,
}

pub(super) struct Avx512Vnni;

impl Micro for Avx512Vnni {
    type Lanes = Avx512Lanes;
    type Wide = Zmm<8, 2>;
    type Narrow = Zmm<16, 1>;
}

/// `MR` rows by `P` panels of one register each.
pub(super) struct Zmm<const MR: usize, const P: usize>;

impl<const MR: usize, const P: usize> RegisterTile for Zmm<MR, P> {
    const MR: usize = MR;
    const PANELS: usize = P;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let acc = match (x.neighbours(), field.third) {
                (Some(x), 1) => Self::slide::<1>(field, x),
                (Some(x), 4) => Self::slide::<4>(field, x),
                (Some(x), 8) => Self::slide::<8>(field, x),
                (Some(x), 16) => Self::slide::<16>(field, x),
                _ => Self::each(field, x),
            };
            for m in 0..MR {
                for p in 0..P {
                    _mm512_store_si512(tiles[p][row + m].as_mut_ptr().cast(), acc[m][p]);
                }
            }
        }
    }
}

impl<const MR: usize, const P: usize> Zmm<MR, P> {
    /// The line of every panel.
    ///
    /// # Safety
    /// The CPU has AVX-512 F; the panels have the line.
    #[inline(always)]
    unsafe fn lines(field: &Field, w: *const Line) -> [__m512i; P] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut lines = [_mm512_setzero_si512(); P];
            for p in 0..P {
                lines[p] = _mm512_load_si512(w.add(p * field.panel).cast());
            }
            lines
        }
    }

    /// Positions anywhere: a broadcast for each `k`, position by position.
    ///
    /// # Safety
    /// As [`RegisterTile::run`].
    #[inline(always)]
    unsafe fn each(field: &Field, x: &Rows<'_>) -> [[__m512i; P]; MR] {
        // SAFETY: the caller's promise.
        unsafe {
            let mut acc = [[_mm512_setzero_si512(); P]; MR];
            let mut w = field.w;
            for segment in 0..field.segments {
                let x: [*const u8; MR] = x.at(segment * field.stride);
                for group in 0..field.groups {
                    let lines = Self::lines(field, w);
                    for m in 0..MR {
                        let x = broadcast(x[m].add(group * K_GROUP));
                        for p in 0..P {
                            acc[m][p] = _mm512_dpbusd_epi32(acc[m][p], x, lines[p]);
                        }
                    }
                    w = w.add(1);
                }
            }
            acc
        }
    }

    /// Neighbours in a row, three to a run: what is broadcast serves three positions.
    ///
    /// # Safety
    /// As [`RegisterTile::run`], for positions `GROUPS` groups apart.
    #[inline(always)]
    unsafe fn slide<const GROUPS: usize>(field: &Field, x: *const u8) -> [[__m512i; P]; MR] {
        // SAFETY: the caller's promise: the last pixel read, `MR + 1`, is the end of the last position's run.
        unsafe {
            let mut acc = [[_mm512_setzero_si512(); P]; MR];
            for segment in 0..field.segments {
                for group in 0..GROUPS {
                    let w = field.w.add(segment * field.groups + group);
                    let taps = [
                        Self::lines(field, w),
                        Self::lines(field, w.add(GROUPS)),
                        Self::lines(field, w.add(2 * GROUPS)),
                    ];
                    let x = x.add(segment * field.stride + group * K_GROUP);
                    // Written out by a macro: as a loop, the compiler keeps `acc` in memory.
                    macro_rules! pixels {
                        ($($pixel:literal)*) => { $(
                            if $pixel < MR + 2 {
                                let codes = broadcast(x.add($pixel * GROUPS * K_GROUP));
                                for tap in 0..3 {
                                    if $pixel >= tap && $pixel - tap < MR {
                                        for p in 0..P {
                                            let acc = &mut acc[$pixel - tap][p];
                                            *acc = _mm512_dpbusd_epi32(*acc, codes, taps[tap][p]);
                                        }
                                    }
                                }
                            }
                        )* };
                    }
                    pixels!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17);
                }
            }
            acc
        }
    }
}

/// Four codes in every lane.
///
/// # Safety
/// The CPU has AVX-512 F; `x` leads to four codes.
#[inline(always)]
unsafe fn broadcast(x: *const u8) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_set1_epi32(x.cast::<i32>().read_unaligned()) }
}
