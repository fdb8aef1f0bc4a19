//! Micro-kernels: the inner loop of every integer layer, one file per instruction set.
//!
//! A micro-kernel computes a tile of `MR` output positions by 16 or 32 output channels,
//!
//! ```text
//! tile[m][n] = sum over k of  a[m][k] * w[n][k]        a: u8, w: s8, tile: i32, exact
//! ```
//!
//! keeping the whole tile in registers while `k` runs. The weights come from [`pack`]ed panels; the
//! activations are read where they lie (see [`Layer`]): no im2col copy is ever made. [`MicroKernel::sweep`]
//! runs all tiles of a layer over one image and hands each finished tile to an [`Epilogue`], which is
//! compiled for the kernel's instruction set too: one indirect step per layer, none per tile.
//!
//! # Dispatch
//! [`KERNELS`] lists the micro-kernels best first. Which one a layer gets depends on the machine *and* on
//! the range of its weights ([`MicroKernel::max_weight`]), so it is chosen when the weights are packed
//! ([`select`]). `QUANT_ISA=scalar|avx2|avxvnni|avx512vnni|amx|neon|neondot|simd128` forces an instruction set
//! ([`forced`]). All kernels give the same bits, and one test suite runs over the table: a new one is a
//! file here, which begins with `micro_kernel!`, and a line there.
//!
//! # Reading
//! `layer.rs` is the problem and its definition ([`sweep_ref`]); `pack.rs` the weights; `scalar.rs` the simplest register tile;
//! `sweep.rs` the loops around every tile; `ymm.rs` the tile of 256 bits, with `avx2.rs`, `avx2_w7.rs`, `avx2_w4.rs` and
//! `avxvnni.rs` for its multiplications; `requantize.rs` what becomes of the sums. `docs/kernels.md` goes up the same ladder
//! and says what each rung gains.

use std::io::Write;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use engine::{Error, Result};

pub mod lanes;
mod layer;
mod micro;
pub mod pack;
mod peak;
pub mod plane;
pub mod requantize;
pub mod store;
mod sweep;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod ymm;

pub use lanes::Lanes;
pub use layer::{At, Epilogue, Layer, sweep_ref};
pub use peak::peak_ops;
pub use sweep::Scratch;

use pack::Layout;

/// Output channels in a panel.
pub const NR: usize = 16;
/// Codes of `k` taken at once; rows of activations are padded to a multiple of it.
pub const K_GROUP: usize = 4;
/// Positions of a tile of sums. A register tile has as many or fewer; AMX computes two tiles of sums at once.
pub const MAX_MR: usize = 16;

/// A tile of sums for one panel, `[position][channel]`: one register tile or several, one below the other.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub struct Tile([[i32; NR]; MAX_MR]);

impl Deref for Tile {
    type Target = [[i32; NR]; MAX_MR];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Tile {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

/// One implementation: a line of [`KERNELS`].
pub struct MicroKernel {
    /// Its own name.
    pub name: &'static str,
    /// The instruction set, which is the name `QUANT_ISA` knows it by.
    pub isa: &'static str,
    /// Rows (output positions) and columns (output channels) of its widest register tile.
    pub tile: [usize; 2],
    /// The largest `|w|` for which it is exact.
    pub max_weight: i32,
    /// The order in which it reads weights.
    pub layout: Layout,
    available: fn() -> bool,
    id: Id,
}

/// What a kernel's file begins with. Defines `KERNEL`, its line of the table, and `sweep`, which is where its instructions
/// are switched on: the loops, the register tile and the epilogue are all inlined there and compiled for them.
macro_rules! micro_kernel {
    (
        name: $name:ident,
        isa: $isa:literal,
        available: $available:expr,
        $(features: $features:literal,)?
        max_weight: $max_weight:literal,
        tiles: $micro:ty $(,)?
    ) => {
        /// The table's line.
        pub const KERNEL: super::MicroKernel = super::MicroKernel {
            name: stringify!($name),
            isa: $isa,
            tile: super::micro::widest::<$micro>(),
            max_weight: $max_weight,
            layout: <$micro as super::micro::Micro>::LAYOUT,
            available: || $available,
            id: super::Id::$name,
        };

        /// # Safety
        /// The CPU has the instructions; the layer was checked.
        $(#[target_feature(enable = $features)])?
        pub(super) unsafe fn sweep<E: super::Epilogue>(
            layer: &super::Layer<'_>,
            scratch: &mut super::Scratch,
            epilogue: &mut E,
        ) {
            // SAFETY: the caller's promise is this function's.
            unsafe { super::sweep::sweep::<$micro, E>(layer, scratch, epilogue) }
        }
    };
}

/// Declares the modules, the table and the one `match` that enters a kernel.
macro_rules! kernels {
    ($($(#[$cfg:meta])* $module:ident),* $(,)?) => {
        $($(#[$cfg])* mod $module;)*

        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy)]
        enum Id { $($(#[$cfg])* $module),* }

        /// Every micro-kernel of this architecture, best first.
        pub const KERNELS: &[MicroKernel] = &[$($(#[$cfg])* $module::KERNEL),*];

        impl MicroKernel {
            /// Runs all tiles of `layer` and gives each to `epilogue`, in no promised order; each output
            /// position and channel comes at least once, each time with the same sums.
            ///
            /// # Panics
            /// If this CPU lacks the kernel, or the layer's parts do not fit together: a position whose
            /// codes end beyond a plane, panels of another length or packed for another layout, weights
            /// beyond `max_weight`.
            pub fn sweep<E: Epilogue>(&self, layer: &Layer<'_>, scratch: &mut Scratch, epilogue: &mut E) {
                assert!(self.available(), "{} is not available on this CPU", self.name);
                layer.check(self);
                match self.id {
                    $(
                        $(#[$cfg])*
                        #[allow(unsafe_code)]
                        // SAFETY: the CPU has the instructions, and the layer was checked.
                        Id::$module => unsafe { $module::sweep(layer, scratch, epilogue) },
                    )*
                }
            }
        }
    };
}

kernels! {
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))] amx,
    #[cfg(target_arch = "x86_64")] avx512vnni,
    #[cfg(target_arch = "x86_64")] avxvnni,
    #[cfg(target_arch = "x86_64")] avx2_w4,
    #[cfg(target_arch = "x86_64")] avx2_w7,
    #[cfg(target_arch = "x86_64")] avx2,
    #[cfg(target_arch = "aarch64")] neondot,
    #[cfg(target_arch = "aarch64")] neon,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))] simd128,
    scalar,
}

impl MicroKernel {
    /// Whether this CPU can run it.
    pub fn available(&self) -> bool {
        (self.available)()
    }
}

/// The best kernel of this CPU that is exact for weights up to `max_weight` in absolute value, of the
/// instruction set `QUANT_ISA` forces if it does.
pub fn select(max_weight: i32) -> &'static MicroKernel {
    of_isa(active().isa, max_weight)
}

/// The best kernel of an instruction set for these weights.
///
/// # Panics
/// If there is no such instruction set: [`named`] says so without a panic.
pub fn of_isa(isa: &str, max_weight: i32) -> &'static MicroKernel {
    let fits = |k: &&MicroKernel| k.isa == isa && k.max_weight >= max_weight;
    KERNELS.iter().find(fits).expect("every instruction set has a kernel for all weights")
}

/// The micro-kernel that `QUANT_ISA` asks for; `None` if it is not set.
///
/// # Errors
/// If the name is unknown or this CPU cannot run it.
pub fn forced() -> Result<Option<&'static MicroKernel>> {
    match std::env::var("QUANT_ISA") {
        Ok(name) if !name.is_empty() => named("QUANT_ISA", &name).map(Some),
        _ => Ok(None),
    }
}

/// The micro-kernel of this instruction set that takes all weights; `given_by` says who named it: a flag, a variable.
///
/// # Errors
/// If the name is unknown or this CPU cannot run it.
pub fn named(given_by: &'static str, name: &str) -> Result<&'static MicroKernel> {
    let all = || KERNELS.iter().filter(|k| k.max_weight >= 128);
    match all().find(|k| k.isa == name) {
        Some(kernel) if kernel.available() => Ok(kernel),
        Some(_) => {
            let have: Vec<_> = all().filter(|k| k.available()).map(|k| k.isa).collect();
            Err(Error::value(
                given_by,
                format!("this CPU does not have `{name}`; it has {}", have.join(", ")),
            ))
        }
        None => {
            let known: Vec<_> = all().map(|k| k.isa).collect();
            Err(Error::unknown_choice(given_by, "instruction set", name, &known))
        }
    }
}

/// The micro-kernel in use where weights may be anything: the forced one, else the best this CPU has.
/// Decided once. A `QUANT_ISA` that cannot be honoured is reported on stderr and ignored here; a program
/// that wants to stop instead asks [`forced`] first.
pub fn active() -> &'static MicroKernel {
    static ACTIVE: OnceLock<&'static MicroKernel> = OnceLock::new();
    ACTIVE.get_or_init(|| {
        let all = |k: &&MicroKernel| k.max_weight >= 128 && k.available();
        let best = KERNELS.iter().find(all).expect("scalar is always available");
        match forced() {
            Ok(kernel) => kernel.unwrap_or(best),
            Err(error) => {
                // Not `eprintln!`, which panics where stderr is closed.
                let _ = writeln!(std::io::stderr(), "{error}; using {}", best.isa);
                best
            }
        }
    })
}
