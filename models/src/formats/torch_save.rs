//! Writing what `torch.load(..., weights_only=True)` reads: a zip archive with a pickle and a file of raw numbers for
//! each tensor. How it is read is in [`torch_file`](super::torch_file).
//!
//! ```text
//! archive/data.pkl     the object, in pickle's protocol 2; a tensor refers to its numbers by a key
//! archive/byteorder    little
//! archive/data/KEY     the numbers
//! archive/version      3
//! ```
//!
//! A float network is a state dictionary and nothing else. A quantized one is
//! `{"state_dict": .., "fake_quantize": {layer: {"input": grid, "weight": grid}}, "metadata": {key: text}}`, where a grid
//! holds the arguments of PyTorch's `fake_quantize_per_tensor_affine`: `scale`, `zero_point` (tensors), `quant_min`,
//! `quant_max`. The [metadata](Exported::metadata) is for this program, which reads the same quantized network back.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use quant::Granularity;

use super::exported::{Exported, ExportedTensor, Numbers};
use crate::{Error, Result};

/// The bytes of the file; equal networks give equal bytes. A float network's file has no place for `metadata`.
///
/// # Errors
/// If the archive cannot be made.
pub fn to_bytes(exported: &Exported, metadata: &BTreeMap<String, String>) -> Result<Vec<u8>> {
    let mut pickle = Pickle { bytes: vec![0x80, 2], storages: Vec::new() };
    if exported.grids.is_empty() {
        pickle.state_dict(exported);
    } else {
        pickle.dictionary(|p| {
            p.text("state_dict");
            p.state_dict(exported);
            p.text("fake_quantize");
            p.grids(exported);
            p.text("metadata");
            p.dictionary(|p| {
                metadata.iter().flat_map(|(key, text)| [key, text]).for_each(|text| p.text(text))
            });
        });
    }
    pickle.bytes.push(b'.'); // the end
    archive(&pickle).map_err(|e| Error::Value(format!("zip: {e}")))
}

fn archive(pickle: &Pickle) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let mut entry = |name: &str, bytes: &[u8]| {
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored)
            .with_alignment(64); // so that the numbers can be mapped
        zip.start_file(format!("archive/{name}"), stored)?;
        Ok::<_, zip::result::ZipError>(zip.write_all(bytes)?)
    };
    entry("data.pkl", &pickle.bytes)?;
    entry("byteorder", b"little")?;
    for (key, storage) in pickle.storages.iter().enumerate() {
        entry(&format!("data/{key}"), storage)?;
    }
    entry("version", b"3\n")?;
    Ok(zip.finish()?.into_inner())
}

/// A pickle that is written: instructions for a machine with a stack.
struct Pickle {
    bytes: Vec<u8>,
    /// The numbers of the tensors, by key.
    storages: Vec<Vec<u8>>,
}

impl Pickle {
    /// `OrderedDict` of names and tensors.
    fn state_dict(&mut self, exported: &Exported) {
        self.empty_ordered_dict();
        self.bytes.push(b'('); // a mark: the items begin
        for (name, tensor) in &exported.tensors {
            self.text(name);
            self.tensor(tensor);
        }
        self.bytes.push(b'u'); // the items into the dictionary
    }

    fn grids(&mut self, exported: &Exported) {
        self.dictionary(|p| {
            for (layer, grids) in &exported.grids {
                p.text(layer);
                p.dictionary(|p| {
                    for (what, grid) in grids {
                        let dims = match grid.granularity {
                            Granularity::PerTensor => vec![],
                            Granularity::PerChannel => vec![grid.scale.len()],
                        };
                        let zero_points = grid.zero_point.iter().map(|&z| z.into()).collect();
                        p.text(what);
                        p.dictionary(|p| {
                            p.text("scale");
                            let numbers = Numbers::F32(grid.scale.clone());
                            p.tensor(&ExportedTensor { dims: dims.clone(), numbers });
                            p.text("zero_point");
                            p.tensor(&ExportedTensor { dims, numbers: Numbers::I64(zero_points) });
                            p.text("quant_min");
                            p.int(grid.grid.qmin);
                            p.text("quant_max");
                            p.int(grid.grid.qmax);
                        });
                    }
                });
            }
        });
    }

    /// A dictionary of the keys and values that `items` writes in turns.
    fn dictionary(&mut self, items: impl FnOnce(&mut Self)) {
        self.bytes.extend(b"}(");
        items(self);
        self.bytes.push(b'u');
    }

    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)`.
    fn tensor(&mut self, tensor: &ExportedTensor) {
        let (class, bytes) = match &tensor.numbers {
            Numbers::F32(v) => ("FloatStorage", v.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Numbers::I64(v) => ("LongStorage", v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>()),
        };
        let key = self.storages.len().to_string();
        self.storages.push(bytes);
        let len: usize = tensor.dims.iter().product();
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.bytes.push(b'('); // a mark: the arguments begin
        self.bytes.push(b'('); // and those of the storage
        self.text("storage");
        self.global("torch", class);
        self.text(&key);
        self.text("cpu");
        self.int(len as i32);
        self.bytes.extend(b"tQ"); // a tuple; what the reader keeps under it
        self.int(0);
        let strides = tensor.dims.iter().rev().scan(1, |step, &d| Some(std::mem::replace(step, *step * d)));
        let mut strides: Vec<usize> = strides.collect();
        strides.reverse();
        for extents in [&tensor.dims, &strides] {
            self.bytes.push(b'(');
            extents.iter().for_each(|&extent| self.int(extent as i32));
            self.bytes.push(b't');
        }
        self.bytes.push(0x89); // False: no gradient is wanted
        self.empty_ordered_dict(); // no hooks
        self.bytes.extend(b"tR"); // the arguments as a tuple; the call
    }

    fn empty_ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.extend(b")R"); // called without arguments
    }

    fn global(&mut self, module: &str, name: &str) {
        self.bytes.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn text(&mut self, text: &str) {
        self.bytes.push(b'X');
        self.bytes.extend((text.len() as u32).to_le_bytes());
        self.bytes.extend(text.as_bytes());
    }

    fn int(&mut self, value: i32) {
        self.bytes.push(b'J');
        self.bytes.extend(value.to_le_bytes());
    }
}
