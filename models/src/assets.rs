//! What is shipped with the source: a slice of CIFAR-10 and a trained network, so that the first command needs
//! no download.

use std::path::PathBuf;

/// The folder of the shipped files.
pub fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/assets"))
}

/// An integer-only network (W8A8), for those who only want to classify.
pub fn integer_model() -> PathBuf {
    folder().join(INTEGER_MODEL)
}

/// Its name.
pub const INTEGER_MODEL: &str = "ResNet20_W8A8.safetensors";

/// 2,000 training and 1,000 test images of CIFAR-10; see the README beside them.
pub fn cifar10_slice() -> PathBuf {
    folder().join("cifar10-slice")
}
