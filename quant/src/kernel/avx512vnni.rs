//! AVX-512 VNNI: `vpdpbusd` multiplies four u8 by four s8 and adds them to an i32, in 16 lanes.
//!
//! The instruction (not its saturating sister `vpdpbusds`) is exact: the four 17-bit products are
//! summed in 32 bits. A line of the panel is one register: lane `n` holds the four `k` of channel `n`.
//!
//! ```text
//! acc[p][m] += vpdpbusd( x of row m, 4 bytes in every lane ; line of panel p )
//! ```
//!
//! Two tiles: 8 rows by 2 panels where there are two, else 16 rows by 1. See `docs/kernels.md`.
#![allow(unsafe_code)]

use std::arch::x86_64::*;

use super::lanes::Avx512Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile};
use super::{Epilogue, Id, K_GROUP, Layer, MAX_MR, MicroKernel, NR, Scratch, Tile};

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "avx512vnni",
    isa: "avx512vnni",
    tile: [8, 2 * NR],
    max_weight: 128,
    layout: Layout::Quads,
    available: || is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
    id: Id::avx512vnni,
};

/// # Safety
/// The CPU has AVX-512 F and VNNI; the layer was checked.
#[target_feature(enable = "avx512f,avx512vnni")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    // SAFETY: the caller's promise is this function's.
    unsafe { sweep::sweep::<Avx512Vnni, E>(layer, scratch, epilogue) }
}

struct Avx512Vnni;

impl Micro for Avx512Vnni {
    type Lanes = Avx512Lanes;
    type Wide = Zmm<8, 2>;
    type Narrow = Zmm<16, 1>;
}

/// `MR` rows by `P` panels of one register each.
struct Zmm<const MR: usize, const P: usize>;

impl<const MR: usize, const P: usize> RegisterTile for Zmm<MR, P> {
    const MR: usize = MR;
    const PANELS: usize = P;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &[*const u8; MAX_MR], tiles: &mut [Tile; 2]) {
        // SAFETY: the caller vouches for the instructions, the codes and the lines; a tile's row is 64 bytes.
        unsafe {
            let mut acc = [[_mm512_setzero_si512(); P]; MR];
            let mut w = field.w;
            for segment in 0..field.segments {
                let x: [*const u8; MR] = std::array::from_fn(|m| x[m].add(segment * field.stride));
                for group in 0..field.groups {
                    let lines: [__m512i; P] =
                        std::array::from_fn(|p| _mm512_load_si512(w.add(p * field.panel).cast()));
                    for m in 0..MR {
                        let x = _mm512_set1_epi32(x[m].add(group * K_GROUP).cast::<i32>().read_unaligned());
                        for p in 0..P {
                            acc[m][p] = _mm512_dpbusd_epi32(acc[m][p], x, lines[p]);
                        }
                    }
                    w = w.add(1);
                }
            }
            for m in 0..MR {
                for p in 0..P {
                    _mm512_storeu_si512(tiles[p][m].as_mut_ptr().cast(), acc[m][p]);
                }
            }
        }
    }
}
