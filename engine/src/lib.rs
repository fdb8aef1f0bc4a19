//! Part I: floats that learn.

mod arena;
mod error;
pub mod rng;
mod shape;
mod tensor;

pub use error::{Error, Result};
pub use shape::Shape;
pub use tensor::Tensor;
