//! The instruction sets, in one table.
//!
//! `QUANT_ISA=scalar|avx2|avx512|neon` in the environment forces one (see [`Isa::active`]); the name of an integer
//! kernel stands for the set that it extends. (The command line takes only such names: it computes in integers too.)

use std::sync::OnceLock;

use super::{Kernel, Vector};
use crate::{Error, Result};

/// An instruction set **that this machine has**: a value of this type is the proof, and there is no other way
/// to get one than [`Isa::available`] and what is built on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Id);

/// A line of the table.
struct Set {
    isa: Isa,
    name: &'static str,
    lanes: usize,
    available: fn() -> bool,
    /// Sets of integer kernels that extend it.
    extended_by: &'static [&'static str],
}

/// Declares the modules, the table and the one `match` that enters a kernel.
macro_rules! instruction_sets {
    ($($(#[$cfg:meta])* $module:ident),* $(,)?) => {
        $($(#[$cfg])* mod $module;)*

        #[allow(non_camel_case_types)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        enum Id { $($(#[$cfg])* $module),* }

        /// Those of this architecture, best first.
        const SETS: &[Set] = &[$($(#[$cfg])* Set {
            isa: Isa(Id::$module),
            name: stringify!($module),
            lanes: <$module::Floats as Vector>::LANES,
            available: $module::available,
            extended_by: $module::EXTENDED_BY,
        }),*];

        impl Isa {
            /// Names of all instruction sets with kernels here, of any architecture, best first.
            pub const ALL: &'static [&'static str] = &[$(stringify!($module)),*];

            /// Runs `kernel` with the vectors of this instruction set.
            pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
                match self.0 {
                    $(
                        $(#[$cfg])*
                        // SAFETY: an `Isa` exists only if the machine has the instructions.
                        Id::$module => unsafe { $module::run(kernel) },
                    )*
                }
            }
        }
    };
}

instruction_sets! {
    #[cfg(target_arch = "x86_64")] avx512,
    #[cfg(target_arch = "x86_64")] avx2,
    #[cfg(target_arch = "aarch64")] neon,
    scalar,
}

impl Isa {
    /// The portable one, which every machine has.
    pub const SCALAR: Isa = Isa(Id::scalar);

    /// Its line in the table.
    fn set(self) -> &'static Set {
        SETS.iter().find(|set| set.isa == self).expect("every instruction set has a line")
    }

    /// The instruction set of this name, if this machine has it.
    pub fn find(name: &str) -> Option<Self> {
        SETS.iter().find(|set| set.name == name && (set.available)()).map(|set| set.isa)
    }

    /// The instruction set of floats that goes with one of integer kernels (`amx`, `avx512vnni`,
    /// `avxvnni`, `neondot`; or one of floats itself), if this machine has it: the one it extends.
    pub fn find_family(name: &str) -> Option<Self> {
        let extends = |set: &&Set| set.name == name || set.extended_by.contains(&name);
        SETS.iter().find(extends).filter(|set| (set.available)()).map(|set| set.isa)
    }

    /// [`find_family`](Self::find_family) of a name that somebody gave; `given_by` says where: a flag, a variable.
    ///
    /// # Errors
    /// If the name does not exist, with the nearest one that does, or this machine lacks the set.
    pub fn named(given_by: &'static str, name: &str) -> Result<Self> {
        let known: Vec<&str> =
            SETS.iter().flat_map(|set| std::iter::once(&set.name).chain(set.extended_by)).copied().collect();
        if !known.contains(&name) {
            return Err(Error::unknown_choice(given_by, "instruction set", name, &known));
        }
        Self::find_family(name).ok_or_else(|| {
            let have: Vec<_> = Self::available().map(Self::name).collect();
            let text = format!("`{name}` is not available; this machine has {}", have.join(", "));
            Error::value(given_by, text)
        })
    }

    /// Those this machine has, best first.
    pub fn available() -> impl Iterator<Item = Self> {
        SETS.iter().filter(|set| (set.available)()).map(|set| set.isa)
    }

    /// The one in use: what `QUANT_ISA` forces, else the best available. `QUANT_ISA` may name a set of
    /// integer kernels; floats then use the set it extends ([`find_family`](Self::find_family)).
    ///
    /// # Errors
    /// If `QUANT_ISA` names one that does not exist or that this machine lacks.
    pub fn forced_or_best() -> Result<Self> {
        let best = || Self::available().next().expect("scalar is always available");
        match std::env::var_os("QUANT_ISA").filter(|forced| !forced.is_empty()) {
            Some(forced) => Self::named("QUANT_ISA", &forced.to_string_lossy()),
            None => Ok(best()),
        }
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
        self.set().name
    }

    /// Numbers in one vector.
    pub fn lanes(self) -> usize {
        self.set().lanes
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
        for unknown in ["mmx", "", "avx512vni", "scalars"] {
            assert_eq!(Isa::find_family(unknown), None, "{unknown}");
        }
        let message = Isa::named("--isa", "scalr").unwrap_err().to_string();
        assert!(message.contains("--isa") && message.contains("did you mean `scalar`?"), "{message}");
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
