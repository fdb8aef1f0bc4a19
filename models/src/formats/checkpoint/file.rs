//! The bytes of a safetensors file, the same for the same checkpoint.

use std::collections::BTreeMap;

use engine::Tensor;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::{Error, Result, formats::layout};

/// A tensor as it is written.
pub(crate) struct Stored {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) dims: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// In 32-bit floats and PyTorch's layout.
    pub(crate) fn float(name: &str, tensor: &Tensor) -> Self {
        let tensor = layout::to_torch(tensor.clone());
        let bytes = tensor.data().iter().flat_map(|v| v.to_le_bytes()).collect();
        Self { name: name.to_string(), dtype: Dtype::F32, dims: tensor.dims().to_vec(), bytes }
    }
}

/// A safetensors file of these tensors.
pub(crate) fn file(tensors: &[Stored], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let broken = |e| Error::Value(format!("safetensors: {e}"));
    let mut views = Vec::with_capacity(tensors.len());
    for t in tensors {
        views.push((t.name.as_str(), TensorView::new(t.dtype, t.dims.clone(), &t.bytes).map_err(broken)?));
    }
    Ok(with_metadata(&safetensors::serialize(views, None).map_err(broken)?, metadata))
}

/// Puts `metadata` into the header of a safetensors file, sorted by key. (The crate takes a hash map, whose
/// order differs from run to run: equal checkpoints would be unequal files.)
fn with_metadata(file: &[u8], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    if metadata.is_empty() {
        return file.to_vec();
    }
    let header_len = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let (header, data) = file[8..].split_at(header_len);
    let tensors = std::str::from_utf8(header).expect("JSON").trim_end().trim_start_matches('{');
    let metadata = serde_json::to_string(metadata).expect("text is JSON");
    let comma = if tensors == "}" { "" } else { "," };
    let mut header = format!("{{\"__metadata__\":{metadata}{comma}{tensors}");
    while header.len() % 8 != 0 {
        header.push(' '); // the data begins at a multiple of eight
    }
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(data);
    out
}
