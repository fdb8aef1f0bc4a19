//! Part III: data and networks.

pub mod atomic;
pub mod augment;
pub mod checkpoint;
pub mod cifar10;
pub mod element;
mod error;
pub mod layout;
pub mod loader;
pub mod mmap;
pub mod pickle;
pub mod torch_file;
pub mod torch_global;

pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
