//! Data: CIFAR-10, CIFAR-100 and a user's own pictures, what is done to them, and the batches that networks take.

pub mod augment;
pub mod cifar10;
pub mod cifar100;
pub mod class_folders;
pub mod classes;
pub mod data_set;
pub mod distilled;
pub mod image_set;
pub mod loader;
pub mod normalization;
pub mod npy;
pub mod picture;
pub mod slice;
pub mod synthetic;
