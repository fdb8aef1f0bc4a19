//! AMX: `tdpbusd` multiplies a tile of 16 positions by 64 codes with one of 64 codes by 16 channels.
//!
//! A tile register holds up to 16 rows of 64 bytes. Rows of the left operand are runs of codes, read where they lie:
//! neighbouring positions of an NHWC image begin a fixed number of bytes apart, and that is what `tileloadd` takes, a
//! start and a stride. Rows of the right operand are the lines of a panel ([`Layout::Quads`]): four `k` of sixteen
//! channels. So neither operand is copied.
//!
//! ```text
//!                           tmm6: lines of panel 0     tmm7: of panel 1
//!   tmm4: 16 positions        tmm0 += tmm4 tmm6          tmm2 += tmm4 tmm7
//!   tmm5: 16 more             tmm1 += tmm5 tmm6          tmm3 += tmm5 tmm7
//! ```
//!
//! Four loads of 16 rows for four products of 16 cycles each: loading takes half of the time of multiplying. A run of
//! codes is cut into equal chunks of at most 16 groups, so that one configuration serves a layer: 48 bytes of the 64
//! for 16 and 32 channels, all 64 for 64 channels.
//!
//! Where positions are not equally spaced (a tile that reaches into the next row of the image), the 16 rows are
//! copied, chunk by chunk: a load and a store each.
//!
//! The products are exact: four products of u8 x s8 and their sum with an i32, as in `vpdpbusd`. Rust has no stable
//! intrinsics for AMX yet, so the instructions stand in inline assembly; nothing else in a program uses the tile
//! registers. Linux gives them to a process that asks (`arch_prctl`).
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, __m512i, _mm512_loadu_si512, _mm512_storeu_si512};
use std::sync::OnceLock;

use super::lanes::Avx512Lanes;
use super::pack::Layout;
use super::sweep::{self, Field, Micro, RegisterTile};
use super::{Epilogue, Id, K_GROUP, Layer, MAX_MR, MicroKernel, NR, Scratch, Tile};

/// The table's line.
pub const KERNEL: MicroKernel = MicroKernel {
    name: "amx",
    isa: "amx",
    tile: [MAX_MR, 2 * NR],
    max_weight: 128,
    layout: Layout::Quads,
    available,
    id: Id::amx,
};

/// Rows of a tile register.
const ROWS: usize = 16;
/// Bytes of a row.
const ROW_BYTES: usize = 64;

/// Whether the CPU has AMX for bytes (and AVX-512, for what becomes of the sums), and Linux lets us.
fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let [tile, int8] = [24, 25].map(|bit| __cpuid_count(7, 0).edx >> bit & 1 == 1);
        tile && int8 && is_x86_feature_detected!("avx512f") && permitted()
    })
}

/// Asks Linux for the tile registers: `arch_prctl(ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)`, for all threads at once.
fn permitted() -> bool {
    let mut result: i64 = 158; // the number of arch_prctl
    // SAFETY: a system call that changes nothing but the answer to a later use of the tile registers.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") 0x1023_u64, in("rsi") 18_u64, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    result == 0
}

/// What `ldtilecfg` reads: palette 1, then bytes per row and rows of each register.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// Chunks of `groups` groups: sums in 0..4, codes in 4 and 5, lines in 6 and 7.
    fn new(groups: usize) -> Self {
        let mut config = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for t in 0..8 {
            let codes = t == 4 || t == 5;
            config.row_bytes[t] = if codes { groups * K_GROUP } else { ROW_BYTES } as u16;
            config.rows[t] = if t >= 6 { groups } else { ROWS } as u8;
        }
        config
    }
}

/// # Safety
/// The CPU has AMX for bytes and AVX-512 F; the layer was checked.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn sweep<E: Epilogue>(layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
    let config = Config::new(Amx::chunk(layer.groups));
    // SAFETY: the configuration is of palette 1 and within its limits; the rest is the caller's promise.
    unsafe {
        asm!("ldtilecfg [{}]", in(reg) &raw const config, options(nostack, readonly));
        sweep::sweep::<Amx, E>(layer, scratch, epilogue);
        asm!("tilerelease", options(nostack, nomem));
    }
}

/// Products on registers alone, four at a time, for the measurement of the peak; returns their multiply-adds.
///
/// # Safety
/// The CPU has AMX for bytes.
pub(super) unsafe fn products(steps: usize) -> usize {
    let config = Config::new(ROWS);
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

struct Amx;

impl Micro for Amx {
    type Lanes = Avx512Lanes;
    type Wide = Tmm<2>;
    type Narrow = Tmm<1>;

    /// The largest divisor that one register holds.
    fn chunk(groups: usize) -> usize {
        (1..=ROWS).rev().find(|n| groups.is_multiple_of(*n)).unwrap_or(1)
    }
}

/// Two tiles of 16 positions by `P` panels.
struct Tmm<const P: usize>;

impl<const P: usize> RegisterTile for Tmm<P> {
    const MR: usize = MAX_MR;
    const PANELS: usize = P;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &[*const u8; MAX_MR], tiles: &mut [Tile; 2]) {
        let mut copies = [[[0u8; ROW_BYTES]; ROWS]; 2];
        let steps = [0, ROWS].map(|half| spacing(&x[half..half + ROWS]));
        let bytes = field.chunk * K_GROUP;
        let mut w = field.w;
        // SAFETY: the caller vouches for the instructions, the codes and the lines; `sweep` configured the registers
        // for chunks of this size; a tile has 32 rows of 64 bytes. A copied row may read up to 64 bytes where the chunk
        // has fewer: only as many as there are (see `copy`).
        unsafe {
            asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
            for segment in 0..field.segments {
                for chunk in 0..field.groups / field.chunk {
                    let offset = segment * field.stride + chunk * bytes;
                    let [a, b] = [0, 1].map(|half| {
                        let rows = &x[half * ROWS..];
                        match steps[half] {
                            Some(step) => (rows[0].add(offset), step),
                            None => {
                                let copy = &mut copies[half];
                                for (to, from) in copy.iter_mut().zip(rows) {
                                    copy_row(to, from.add(offset), bytes);
                                }
                                (copy.as_ptr().cast(), ROW_BYTES)
                            }
                        }
                    });
                    asm!(
                        "tileloadd tmm6, [{w} + {line}*1]",
                        "tileloadd tmm4, [{a} + {a_step}*1]",
                        "tdpbusd tmm0, tmm4, tmm6",
                        "tileloadd tmm5, [{b} + {b_step}*1]",
                        "tdpbusd tmm1, tmm5, tmm6",
                        w = in(reg) w, line = in(reg) ROW_BYTES,
                        a = in(reg) a.0, a_step = in(reg) a.1, b = in(reg) b.0, b_step = in(reg) b.1,
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
                    w = w.add(field.chunk);
                }
            }
            let [first, second] = tiles;
            asm!(
                "tilestored [{t} + {row}*1], tmm0", "tilestored [{u} + {row}*1], tmm1",
                t = in(reg) first.as_mut_ptr(), u = in(reg) first[ROWS..].as_mut_ptr(), row = in(reg) ROW_BYTES,
                options(nostack),
            );
            if P == 2 {
                asm!(
                    "tilestored [{t} + {row}*1], tmm2", "tilestored [{u} + {row}*1], tmm3",
                    t = in(reg) second.as_mut_ptr(), u = in(reg) second[ROWS..].as_mut_ptr(), row = in(reg) ROW_BYTES,
                    options(nostack),
                );
            }
        }
    }
}

/// Bytes from one row to the next, if it is the same for all.
#[inline(always)]
fn spacing(x: &[*const u8]) -> Option<usize> {
    let step = (x[1] as usize).wrapping_sub(x[0] as usize);
    let equal = x.windows(2).fold(true, |equal, w| equal & ((w[1] as usize).wrapping_sub(w[0] as usize) == step));
    equal.then_some(step)
}

/// Copies the `bytes` of a chunk, a multiple of 4.
///
/// # Safety
/// `from` leads to as many; the CPU has AVX-512 F.
#[inline(always)]
unsafe fn copy_row(to: &mut [u8; ROW_BYTES], from: *const u8, bytes: usize) {
    // SAFETY: the caller's promise; `bytes` is at most 64.
    unsafe {
        if bytes == ROW_BYTES {
            let row: __m512i = _mm512_loadu_si512(from.cast());
            _mm512_storeu_si512(to.as_mut_ptr().cast(), row);
        } else {
            std::ptr::copy_nonoverlapping(from, to.as_mut_ptr(), bytes);
        }
    }
}
