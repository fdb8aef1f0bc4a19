//! Golden numbers computed elsewhere (PyTorch, float64). `GOLDEN_DIR=folder` takes another folder with
//! the same files and keys.

mod quant;

use std::path::PathBuf;

/// The safetensors file `name`: from `$GOLDEN_DIR`, else from `tests/fixtures`, else from `shared/fixtures`.
pub fn golden_file(name: &str) -> PathBuf {
    if let Some(folder) = std::env::var_os("GOLDEN_DIR") {
        return PathBuf::from(folder).join(name);
    }
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let own = here.join("fixtures").join(name);
    if own.exists() { own } else { here.join("../../shared/fixtures").join(name) }
}
