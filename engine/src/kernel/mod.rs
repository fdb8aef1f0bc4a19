//! The fast kernels: written once over a small [`Vector`], instantiated for each instruction set.
//!
//! A kernel is a struct that implements [`Kernel`]; [`Isa::run`] enters it through one function per
//! instruction set that carries the right `#[target_feature]`, so that everything inlined into it, plain
//! loops included, is compiled for that set. One such call per image, none per tile.
//!
//! To add an instruction set: one file with its [`Vector`], one line in [`Isa::ALL`].
//!
//! `QUANT_ISA=scalar|avx2|avx512|neon` in the environment forces one (see [`Isa::active`]).
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub(crate) mod channels;
pub(crate) mod conv;
#[cfg(target_arch = "aarch64")]
mod neon;
pub(crate) mod pad;
mod peak;
mod plain;
mod scalar;
pub(crate) mod tile;
mod vector;
pub(crate) mod weight_grad;
pub(crate) mod winograd;

pub use peak::peak_flops;
pub use plain::Plain;
use std::sync::OnceLock;
pub use vector::Vector;

use crate::{Error, Result};

/// A computation over vectors of any instruction set.
pub trait Kernel {
    /// What it returns.
    type Output;
    /// Runs it with vectors of type `V`. Implementations are `#[inline(always)]`, so that they are compiled
    /// with the features of the function they are entered through.
    ///
    /// # Safety
    /// The machine must have the instructions of `V`.
    unsafe fn run<V: Vector>(self) -> Self::Output;
}

/// An instruction set **that this machine has**: a value of this type is the proof, and there is no other way
/// to get one than [`Isa::available`] and what is built on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Name);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
    Scalar,
}

impl Isa {
    /// The portable one, which every machine has.
    pub const SCALAR: Isa = Isa(Name::Scalar);

    /// Names of all instruction sets with kernels here, best first.
    pub const ALL: [&'static str; 4] = ["avx512", "avx2", "neon", "scalar"];

    /// The instruction set of this name, if this machine has it.
    pub fn find(name: &str) -> Option<Self> {
        match name {
            #[cfg(target_arch = "x86_64")]
            "avx512" if is_x86_feature_detected!("avx512f") => Some(Self(Name::Avx512)),
            #[cfg(target_arch = "x86_64")]
            "avx2" if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") => {
                Some(Self(Name::Avx2))
            }
            #[cfg(target_arch = "aarch64")]
            "neon" => Some(Self(Name::Neon)),
            "scalar" => Some(Self::SCALAR),
            _ => None,
        }
    }

    /// The instruction set of floats that goes with one of integer kernels (`amx`, `avx512vnni`,
    /// `avxvnni`, `neondot`; or one of floats itself), if this machine has it: the one it extends.
    pub fn find_family(name: &str) -> Option<Self> {
        let family = match name {
            "amx" => "avx512",
            "avxvnni" => "avx2",
            _ => Self::ALL.into_iter().find(|family| name.starts_with(family))?,
        };
        Self::find(family)
    }

    /// Those this machine has, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        Self::ALL.iter().filter_map(|name| Self::find(name))
    }

    /// The one in use: what `QUANT_ISA` forces, else the best available. `QUANT_ISA` may name a set of
    /// integer kernels; floats then use the set it extends ([`find_family`](Self::find_family)).
    ///
    /// # Errors
    /// If `QUANT_ISA` names one that does not exist or that this machine lacks.
    pub fn forced_or_best() -> Result<Self> {
        let best = || Self::available().next().expect("scalar is always available");
        let Some(forced) = std::env::var_os("QUANT_ISA") else { return Ok(best()) };
        let forced = forced.to_string_lossy();
        Self::find_family(&forced).ok_or_else(|| {
            let have: Vec<_> = Self::available().map(Self::name).collect();
            Error::value(
                "QUANT_ISA",
                format!("`{forced}` is not available; this machine has {}", have.join(", ")),
            )
        })
    }

    /// [`forced_or_best`](Self::forced_or_best), decided once. An impossible `QUANT_ISA` falls back to the
    /// best available; programs check [`forced_or_best`](Self::forced_or_best) at start-up to refuse it.
    pub fn active() -> Self {
        static ACTIVE: OnceLock<Isa> = OnceLock::new();
        *ACTIVE.get_or_init(|| {
            Self::forced_or_best().unwrap_or_else(|_| Self::available().next().unwrap_or(Self::SCALAR))
        })
    }

    /// Its name, as in [`ALL`](Self::ALL).
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Name::Avx512 => "avx512",
            #[cfg(target_arch = "x86_64")]
            Name::Avx2 => "avx2",
            #[cfg(target_arch = "aarch64")]
            Name::Neon => "neon",
            Name::Scalar => "scalar",
        }
    }

    /// Numbers in one vector.
    pub fn lanes(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Name::Avx512 => 16,
            #[cfg(target_arch = "x86_64")]
            Name::Avx2 => 8,
            #[cfg(target_arch = "aarch64")]
            Name::Neon => 4,
            Name::Scalar => 4,
        }
    }

    /// Runs `kernel` with the vectors of this instruction set.
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            // SAFETY: an `Isa` exists only if the machine has the instructions.
            #[cfg(target_arch = "x86_64")]
            Name::Avx512 => unsafe { avx512::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Name::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Name::Neon => unsafe { neon::run(kernel) },
            // SAFETY: the scalar vector needs no particular instructions.
            Name::Scalar => unsafe { kernel.run::<scalar::F32x4>() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalar_is_everywhere_and_last() {
        assert_eq!(Isa::available().last(), Some(Isa::SCALAR));
        assert_eq!(Isa::find("mmx"), None);
    }

    #[test]
    fn sets_of_integer_kernels_belong_to_sets_of_floats() {
        for (integers, floats) in [
            ("amx", "avx512"),
            ("avx512vnni", "avx512"),
            ("avxvnni", "avx2"),
            ("avx2", "avx2"),
            ("neondot", "neon"),
        ] {
            assert_eq!(Isa::find_family(integers), Isa::find(floats), "{integers}");
        }
        assert_eq!(Isa::find_family("mmx"), None);
        assert_eq!(Isa::find_family(""), None);
    }

    /// `max(2 x + 1, 9)` by vectors, to exercise every operation of each `Vector`.
    struct Probe<'a>(&'a [f32]);
    impl Kernel for Probe<'_> {
        type Output = Vec<f32>;
        #[inline(always)]
        unsafe fn run<V: Vector>(self) -> Vec<f32> {
            let mut y = vec![0.0; V::LANES];
            // SAFETY: the slice holds more than one vector, `y` exactly one.
            unsafe {
                let x = V::load(self.0.as_ptr());
                V::splat(1.0).fma(x, V::splat(2.0)).max(V::splat(9.0)).add(V::zero()).store(y.as_mut_ptr());
            }
            y
        }
    }

    #[test]
    fn every_vector_computes() {
        let x: Vec<f32> = (0..32).map(|i| i as f32).collect();
        for name in Isa::ALL {
            let Some(isa) = Isa::find(name) else {
                eprintln!("SKIPPED: this machine has no {name}");
                continue;
            };
            let expected: Vec<f32> = x[..isa.lanes()].iter().map(|x| (2.0 * x + 1.0).max(9.0)).collect();
            assert_eq!(isa.run(Probe(&x)), expected, "{name}");
        }
    }
}
