//! Part III: data and networks.

pub mod assets;
pub mod atomic;
pub mod augment;
pub mod checkpoint;
pub mod cifar10;
pub mod element;
pub mod equalize;
mod error;
pub mod import;
pub mod int_model;
pub mod layout;
pub mod loader;
pub mod mmap;
mod network;
pub mod npy;
pub mod packed;
pub mod pickle;
pub mod picture;
pub mod placeholder;
pub mod qat;
pub mod quantized;
mod resnet;
pub mod saved;
pub mod slice;
pub mod state_dict;
pub mod synthetic;
pub mod torch_file;
pub mod torch_global;
mod trainer;

pub use checkpoint::Checkpoint;
pub use error::{Error, Result};
pub use network::Network;
pub use qat::QatTrainer;
pub use quantized::QuantizedNetwork;
pub use resnet::{Shortcut, resnet};
pub use trainer::{Evaluation, Progress, Teacher, Trainer, evaluate};
