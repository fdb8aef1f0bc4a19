//! Golden numbers computed elsewhere (PyTorch, float64). `GOLDEN_DIR=folder` takes another folder with
//! the same files and keys.

mod fixture;
mod ops;
mod quant;
mod resnet;
