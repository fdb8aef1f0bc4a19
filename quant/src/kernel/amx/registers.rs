//! The tile registers: whether a program may have them, and their shapes.
#![allow(unsafe_code)]

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;
use std::sync::OnceLock;

use super::super::K_GROUP;

/// Rows of a tile register.
pub(super) const ROWS: usize = 16;
/// Bytes of a row.
pub(super) const ROW_BYTES: usize = 64;

/// Whether the CPU has AMX for bytes (and AVX-512, for what becomes of the sums), and Linux lets us.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        let [tile, int8] = [24, 25].map(|bit| __cpuid_count(7, 0).edx >> bit & 1 == 1);
        let avx512 = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        tile && int8 && avx512 && permitted()
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
pub(super) struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Config {
    /// `rows` positions and chunks of `groups` groups: sums in 0..4, codes in 4 and 5, lines in 6 and 7.
    pub(super) fn new(rows: usize, groups: usize) -> Self {
        let mut config = Self { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        for t in 0..8 {
            let codes = t == 4 || t == 5;
            config.row_bytes[t] = if codes { groups * K_GROUP } else { ROW_BYTES } as u16;
            config.rows[t] = if t >= 6 { groups } else { rows } as u8;
        }
        config
    }
}
