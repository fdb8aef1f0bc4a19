//! The fast kernels: written once over a small [`Vector`], instantiated for each instruction set.
//!
//! A kernel is a struct that implements [`Kernel`]; [`Isa::run`] enters it through one function per
//! instruction set that carries the right `#[target_feature]`, so that everything inlined into it, plain
//! loops included, is compiled for that set. One such call per image, none per tile.
//!
//! To add an instruction set: one file with its [`Vector`] beside the others in `isa/`, one line in the table of `isa`.
//!
//! What the kernels compute is defined by the plain operations ([`crate::ops`]); the tests of [`crate::fast`] and
//! [`Inference`](crate::Inference) hold every kernel to them on every instruction set.
#![allow(unsafe_code)]

pub(crate) mod channels;
pub(crate) mod conv;
mod isa;
pub(crate) mod pad;
mod peak;
mod plain;
pub(crate) mod sum;
pub(crate) mod tile;
mod vector;
pub(crate) mod weight_grad;
pub(crate) mod winograd;

pub use isa::Isa;
pub use peak::peak_flops;
pub use plain::Plain;
pub use vector::Vector;

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
