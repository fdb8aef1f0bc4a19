//! Safetensors files: eight bytes of length, a header in JSON with names, types, shapes and places, then the numbers.
//!
//! [`SafetensorsFile`] is one that is open; `Checkpoint::write` writes one of 32-bit floats.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::Tensor;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::element::Element;
use super::foreign::{Builder, canonical_name};
use super::mmap::Bytes;
use super::{atomic, layout};
use crate::{Checkpoint, Error, Result};

/// A safetensors file whose header has been read.
pub(crate) struct SafetensorsFile {
    pub(crate) path: PathBuf,
    /// Text under text.
    pub(crate) metadata: BTreeMap<String, String>,
    /// Of the tensors, in the order in which they are stored.
    pub(crate) names: Vec<String>,
    bytes: Bytes,
}

impl SafetensorsFile {
    /// Maps the file.
    ///
    /// # Errors
    /// If it cannot be opened, or its header is broken.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let bytes = Bytes::map(path)?;
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| broken(path, e))?;
        let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
        Ok(Self { path: path.to_path_buf(), metadata, names: header.offset_keys(), bytes })
    }

    /// Its tensors.
    ///
    /// # Errors
    /// If they are not all there.
    pub(crate) fn tensors(&self) -> Result<SafeTensors<'_>> {
        SafeTensors::deserialize(&self.bytes).map_err(|e| broken(&self.path, e))
    }

    /// All tensors as floats: names are made [canonical](canonical_name), numbers of any float type become `f32`,
    /// convolution weights take the engine's layout.
    ///
    /// # Errors
    /// If a tensor is not there or not made of floats, or a number is NaN or infinite.
    pub(crate) fn floats(&self) -> Result<Checkpoint> {
        let tensors = self.tensors()?;
        let mut builder = Builder::new(&self.path);
        for name in &self.names {
            push_floats(&mut builder, &tensors, name)?;
        }
        Ok(Checkpoint { metadata: self.metadata.clone(), ..builder.checkpoint })
    }
}

/// Adds the tensor `name` to `builder`, unless networks do not need it.
pub(crate) fn push_floats(builder: &mut Builder, tensors: &SafeTensors<'_>, name: &str) -> Result<()> {
    let Some(canonical) = canonical_name(name) else { return Ok(()) };
    let path = builder.checkpoint.path.clone();
    let view = tensors.tensor(name).map_err(|e| broken(&path, e))?;
    let Some(element) = element_of(view.dtype()) else {
        let detail = format!("tensor `{name}` has elements {:?}, which are not read", view.dtype());
        return Err(Error::malformed(&path, detail));
    };
    if !builder.takes(&canonical, element)? {
        return Ok(());
    }
    builder.push(canonical, view.shape(), element.read_all(view.data()))
}

fn broken(path: &Path, error: safetensors::SafeTensorError) -> Error {
    Error::malformed(path, format!("not a complete safetensors file ({error})"))
}

fn element_of(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::F64 => Element::F64,
        Dtype::F32 => Element::F32,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::I64 => Element::I64,
        Dtype::I32 => Element::I32,
        Dtype::I16 => Element::I16,
        Dtype::I8 => Element::I8,
        Dtype::U64 => Element::U64,
        Dtype::U32 => Element::U32,
        Dtype::U16 => Element::U16,
        Dtype::U8 | Dtype::BOOL => Element::U8,
        _ => return None,
    })
}

impl Checkpoint {
    /// Writes a safetensors file of 32-bit floats, [whole or not at all](atomic::write).
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        atomic::write(path, &self.to_bytes()?)
    }

    /// The bytes of the file; equal checkpoints give equal bytes.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>> {
        let stored: Vec<Stored> =
            self.tensors.iter().map(|(name, tensor)| Stored::float(name, tensor)).collect();
        to_bytes(&stored, &self.metadata)
    }
}

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

/// The bytes of a safetensors file of these tensors, the same for the same tensors.
pub(crate) fn to_bytes(tensors: &[Stored], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
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
