//! Where the latent weights of a model file are.

use std::path::{Path, PathBuf};

/// The path of the latent (float) weights that belong to a model file.
///
/// ```
/// let path = models::formats::latent_path("runs/ResNet20_W4A4.safetensors".as_ref());
/// assert_eq!(path.to_str(), Some("runs/ResNet20_W4A4.latent.safetensors"));
/// ```
pub fn latent_path(model: &Path) -> PathBuf {
    model.with_extension("latent.safetensors")
}
