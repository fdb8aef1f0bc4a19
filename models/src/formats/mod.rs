//! Files: every format in which networks come and go.
//!
//! | format | read | written | module |
//! |---|---|---|---|
//! | safetensors, weights in floats | yes | yes | [`checkpoint`] |
//! | safetensors, weights packed at their width | yes | yes | [`packed`] |
//! | the integer-only network | yes | yes | [`int_model`] |
//! | PyTorch's `.pt`, `.pth`, `.th` | yes | no | [`torch_file`] over [`pickle`] |
//!
//! [`import`] tells them apart by their first bytes. [`saved`] says which files a quantized network is kept in.

pub mod atomic;
pub mod checkpoint;
pub mod element;
pub mod import;
pub mod int_model;
pub mod layout;
pub mod mmap;
pub mod packed;
pub mod pickle;
pub mod placeholder;
pub mod saved;
pub mod state_dict;
pub mod torch_file;
pub mod torch_global;
