//! Micro-kernels: the inner loop of every integer layer, one file per instruction set.
//!
//! A micro-kernel computes one tile of `MR` output positions by `NR` output channels,
//!
//! ```text
//! tile[m][n] = sum over k of  a[m][k] * w[n][k]        a: u8, w: s8, tile: i32, exact
//! ```
//!
//! keeping the whole tile in registers while `k` runs. `k` advances `K_GROUP` = 4 bytes at a time, the
//! amount one 32-bit lane multiplies at once. The weights come from a [`pack`]ed panel; the
//! activations are read where they lie: row `m` starts at `rows[m]` and consists of `segments` runs of
//! bytes, `segment_stride` apart. For a convolution over a padded NHWC image those are the `KH` rows of
//! the window, each `KW * C` bytes long and contiguous: so no im2col copy is ever made. A linear layer
//! has one segment.
//!
//! # Dispatch
//! [`KERNELS`] lists the micro-kernels best first. [`active`] picks, once, the first one this CPU has;
//! `QUANT_ISA=scalar|avx2|avx512vnni` forces one ([`forced`]). All give the same bits, and one test suite
//! runs over the table: a new one is a file here and a line there.

use std::sync::OnceLock;

use engine::{Error, Result};

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512vnni;
pub mod pack;
mod scalar;

use pack::Line;

/// Output channels in a tile: one panel.
pub const NR: usize = 16;
/// Bytes of `k` taken at once.
pub const K_GROUP: usize = 4;
/// No kernel has taller tiles than this.
pub const MAX_MR: usize = 16;

/// One tile's operands.
pub struct Operands<'a> {
    /// The bytes of the activations.
    pub a: &'a [u8],
    /// Where each of the `MR` rows starts in `a`.
    pub rows: &'a [usize],
    /// Runs of bytes in a row.
    pub segments: usize,
    /// Bytes from one run to the next.
    pub segment_stride: usize,
    /// Length of a run, in groups of [`K_GROUP`] bytes.
    pub groups: usize,
    /// The panel of weights: `segments * groups` lines.
    pub panel: &'a [Line],
}

/// A tile of results, `[MAX_MR][NR]`; a kernel writes the first `MR` rows.
pub type Tile = [[i32; NR]; MAX_MR];

/// One implementation.
pub struct MicroKernel {
    /// The name `QUANT_ISA` knows it by.
    pub name: &'static str,
    /// Rows (output positions) in a tile.
    pub mr: usize,
    /// Columns (output channels) in a tile.
    pub nr: usize,
    /// Bytes of `k` taken at once.
    pub k_group: usize,
    available: fn() -> bool,
    run: TileFn,
}

/// # Safety
/// The CPU must have the kernel's instructions, `rows` must have `mr` entries, and every run of bytes
/// must lie within `a`.
type TileFn = unsafe fn(&Operands<'_>, &mut Tile);

/// Every micro-kernel of this architecture, best first.
pub const KERNELS: &[MicroKernel] = &[
    #[cfg(target_arch = "x86_64")]
    avx512vnni::KERNEL,
    #[cfg(target_arch = "x86_64")]
    avx2::KERNEL,
    scalar::KERNEL,
];

impl MicroKernel {
    /// Whether this CPU can run it.
    pub fn available(&self) -> bool {
        (self.available)()
    }

    /// Computes one tile.
    ///
    /// # Panics
    /// If the operands do not fit together: too few rows, a run beyond `a`, a panel of another length.
    #[inline]
    pub fn run(&self, operands: &Operands<'_>, tile: &mut Tile) {
        let Operands { a, rows, segments, segment_stride, groups, panel } = *operands;
        assert_eq!(rows.len(), self.mr, "one start for each row");
        assert_eq!(panel.len(), segments * groups, "the panel is as long as the rows");
        let farthest =
            rows.iter().max().map_or(0, |m| m + (segments - 1) * segment_stride + groups * K_GROUP);
        assert!(segments > 0 && farthest <= a.len(), "a row ends beyond the activations");
        assert!(self.available(), "{} is not available on this CPU", self.name);
        #[allow(unsafe_code)]
        // SAFETY: the four assertions above are the contract of `TileFn`.
        unsafe {
            (self.run)(operands, tile);
        }
    }
}

/// The micro-kernel that `QUANT_ISA` asks for; `None` if it is not set.
///
/// # Errors
/// If the name is unknown or this CPU cannot run it.
pub fn forced() -> Result<Option<&'static MicroKernel>> {
    match std::env::var("QUANT_ISA") {
        Ok(name) if !name.is_empty() => named(&name).map(Some),
        _ => Ok(None),
    }
}

/// The micro-kernel of this name.
///
/// # Errors
/// If the name is unknown or this CPU cannot run it.
pub fn named(name: &str) -> Result<&'static MicroKernel> {
    let known: Vec<_> = KERNELS.iter().map(|k| k.name).collect();
    match KERNELS.iter().find(|k| k.name == name) {
        Some(kernel) if kernel.available() => Ok(kernel),
        Some(_) => Err(Error::value("QUANT_ISA", format!("this CPU does not have `{name}`"))),
        None => {
            let detail = format!("unknown instruction set `{name}`; known: {}", known.join(", "));
            Err(Error::value("QUANT_ISA", detail))
        }
    }
}

/// The micro-kernel in use: the forced one, else the best this CPU has. Decided once. A `QUANT_ISA`
/// that cannot be honoured is reported on stderr and ignored here; a program that wants to stop
/// instead asks [`forced`] first.
pub fn active() -> &'static MicroKernel {
    static ACTIVE: OnceLock<&'static MicroKernel> = OnceLock::new();
    ACTIVE.get_or_init(|| {
        let best = KERNELS.iter().find(|k| k.available()).expect("scalar is always available");
        match forced() {
            Ok(kernel) => kernel.unwrap_or(best),
            Err(error) => {
                eprintln!("{error}; using {}", best.name);
                best
            }
        }
    })
}
