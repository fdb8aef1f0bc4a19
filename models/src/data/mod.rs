//! Data: CIFAR-10 and other pictures, what is done to them, and the batches that networks take.

pub mod augment;
pub mod cifar10;
pub mod distilled;
pub mod loader;
pub mod npy;
pub mod picture;
pub mod slice;
pub mod synthetic;
