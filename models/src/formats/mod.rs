//! Files: every format in which networks come and go.
//!
//! | format | read | written | module |
//! |---|---|---|---|
//! | safetensors, weights in floats | yes | yes | [`checkpoint`] |
//! | safetensors, weights packed at their width | yes | yes | [`packed`] |
//! | the integer-only network | yes | yes | [`int_model`] |
//! | either of the two in as few bytes as it takes | yes | yes | [`qlz`] |
//! | PyTorch's `.pt`, `.pth`, `.th` | yes | yes | [`torch_file`] over [`pickle`]; [`torch_save`] |
//! | ONNX | no | yes | [`onnx`] |
//!
//! [`open`] tells them apart by their contents. [`saved`] says which files a quantized network is kept in. No format
//! knows another, and all of them know [`checkpoint`], which knows none. What leaves for other programs goes through
//! [`exported`] (their names) and [`common_grid`] (their zero points).

pub mod atomic;
pub mod checkpoint;
pub mod common_grid;
pub mod element;
pub mod exported;
mod foreign;
pub mod int_model;
mod latent_path;
pub mod layout;
pub mod mmap;
pub mod onnx;
pub mod open;
pub mod packed;
pub mod pickle;
pub mod placeholder;
pub mod qlz;
pub(crate) mod safetensors_file;
pub mod saved;
pub mod state_dict;
pub mod torch_file;
pub mod torch_save;

pub use foreign::canonical_name;
pub use latent_path::latent_path;
pub use open::{Model, Opened};

use crate::nets::quantized;

/// Keys under which a file says in which form its weights are. Whoever writes them in another form, or shows what else the
/// file says, leaves these out.
pub const OF_ITS_FORM: [&str; 4] = [quantized::KEY, packed::KEY, exported::GRIDS, exported::NAMES];
