//! Part III: data and networks.

pub mod augment;
pub mod cifar10;
mod error;
pub mod loader;
pub mod mmap;

pub use error::{Error, Result};
