//! What networks are called in a picture: by the command that made them.

use std::path::Path;

use models::QuantizedNetwork;
use quant::int_graph::file::About;

/// `PTQ W4A4`, by the command that made the network, or the file's name.
pub(super) fn name(file: &Path, metadata: &About, network: &QuantizedNetwork) -> String {
    let verb = metadata.get("command").and_then(|command| command.split(' ').nth(1));
    match verb {
        Some(verb @ ("ptq" | "qat")) => {
            format!("{} {}", verb.to_uppercase(), network.quantization.config.bits)
        }
        _ => file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
    }
}
