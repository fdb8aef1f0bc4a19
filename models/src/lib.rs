//! Part III: data and networks.

pub mod augment;
pub mod cifar10;
mod error;
pub mod mmap;

pub use error::{Error, Result};
