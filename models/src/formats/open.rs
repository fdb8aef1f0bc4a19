//! Opening a network: the one place above all formats, which tells them apart by their contents.

use std::{fs::File, io::Read, path::Path};

use quant::int_graph::IntGraph;
use quant::int_graph::file::{About, KEY as INTEGER_ONLY};

use super::foreign::canonical_name;
use super::mmap::Bytes;
use super::safetensors_file::SafetensorsFile;
use super::state_dict::{self, Place};
use super::{int_model, latent_path, packed, qlz, torch_file};
use crate::data::augment::Normalization;
use crate::{Checkpoint, Error, Network, QuantizedNetwork, Result};

/// What a file holds.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a program opens a few, and moves them once")]
pub enum Model {
    /// A network in floats.
    Float(Network),
    /// A network and how it is quantized; its weights are latent floats, or those that integers stand for.
    Quantized(QuantizedNetwork),
    /// A network without a float between image and logits.
    Integer(IntGraph),
}

/// A file's network, and what else the file says.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The network.
    pub model: Model,
    /// Text under text.
    pub metadata: About,
    /// What the user should know about how it was read.
    pub notes: Vec<String>,
}

/// Opens a network of any kind from a file of any format. Of a file that holds several, `key` says which (see
/// [`state_dict`]). The normalisation is the one given, else the file's (PyTorch files have none), else
/// [the course's](Normalization::COURSE); an integer-only network has its own inside.
///
/// # Errors
/// If the file cannot be read, is broken, refuses to be data, holds a NaN or an infinity, or is not exactly a residual
/// network for CIFAR-10.
pub fn open(
    path: impl AsRef<Path>,
    key: Option<&str>,
    normalization: Option<Normalization>,
) -> Result<Opened> {
    let path = path.as_ref();
    if int_model::is_model(path) {
        expect_no_key(path, key)?;
        let (graph, metadata) = int_model::read(path)?;
        return Ok(Opened { model: Model::Integer(graph), metadata, notes: Vec::new() });
    }
    let checkpoint = if qlz::is_coded(path) {
        expect_no_key(path, key)?;
        match qlz::read(path)? {
            qlz::Content::Network(checkpoint) => checkpoint,
            qlz::Content::Integer(graph, metadata) => {
                return Ok(Opened { model: Model::Integer(graph), metadata, notes: Vec::new() });
            }
        }
    } else {
        load_checkpoint_of(path, key)?
    };
    if checkpoint.tensors.iter().any(|(name, _)| name.starts_with("momentum.")) {
        let detail = "is the state of a run in training, which --resume goes on with; the networks of the run are the other files \
                      of its folder";
        return Err(Error::malformed(path, detail));
    }
    let (metadata, notes) = (checkpoint.metadata.clone(), checkpoint.notes.clone());
    let model = match QuantizedNetwork::from_checkpoint(&checkpoint, normalization)? {
        Some(quantized) => Model::Quantized(quantized),
        None => Model::Float(Network::from_checkpoint(checkpoint, normalization)?),
    };
    Ok(Opened { model, metadata, notes })
}

/// Refuses the choice of a network in a file of a format that holds one.
fn expect_no_key(path: &Path, key: Option<&str>) -> Result<()> {
    let Some(key) = key else { return Ok(()) };
    Err(Error::malformed(path, state_dict::only_one(key)))
}

/// Opens an integer-only network, packed or [coded](qlz), and what the file says of it.
///
/// # Errors
/// If the file cannot be read, is broken, or holds another kind of network.
pub fn load_integers(path: &Path) -> Result<(IntGraph, About)> {
    let read = if qlz::is_coded(path) {
        qlz::read(path).map(|content| match content {
            qlz::Content::Integer(graph, about) => Some((graph, about)),
            qlz::Content::Network(_) => None,
        })
    } else {
        int_model::read(path).map(Some)
    };
    match read {
        Ok(Some(integers)) => Ok(integers),
        Ok(None) => Err(not_integer_only(path)
            .unwrap_or_else(|| Error::malformed(path, "is not an integer-only network"))),
        Err(error) => Err(not_integer_only(path).unwrap_or(error)),
    }
}

/// The error of those who look for an integer-only network where another kind of network is, or none: what is wrong with the
/// file for anyone. `None` if it is integer-only.
fn not_integer_only(path: &Path) -> Option<Error> {
    let model = match open(path, None, None) {
        Ok(opened) => opened.model,
        Err(error) => return Some(error),
    };
    let what = match model {
        Model::Integer(_) => return None,
        Model::Float(_) => {
            "is a float network, not an integer-only network; make one of it with `ptq --policy product`, or use `eval`"
        }
        Model::Quantized(quantized) if quantized.is_integer_only() => {
            "has the float weights of an integer-only network, which is the file beside it without `.latent` in its name"
        }
        Model::Quantized(quantized) if quantized.image_bits().is_some_and(|bits| bits > 8) => {
            "reads the image with more than 8 bits, as no integer-only network does (`--layer-bits conv1=W8A8` makes it 8)"
        }
        Model::Quantized(_) => {
            "is a quantized network with a layer in floats (policy course); `--policy product` makes an integer-only one; or use `eval`"
        }
    };
    Some(Error::malformed(path, what))
}

impl Checkpoint {
    /// Reads a safetensors file, with weights in floats or [packed]. Names are made [canonical](canonical_name), numbers
    /// of any float type become `f32`, convolution weights take the engine's layout.
    ///
    /// # Errors
    /// If the file cannot be opened or is no safetensors file, or a number is NaN or infinite.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let file = SafetensorsFile::open(path.as_ref())?;
        if file.metadata.contains_key(INTEGER_ONLY) {
            return Err(int_model::has_no_floats(&file.path, &latent_path(&file.path)));
        }
        if packed::is_packed(&file) { packed::read(&file) } else { file.floats() }
    }
}

/// What a checkpoint file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Eight bytes of length, then JSON.
    Safetensors,
    /// A zip archive: PyTorch 1.6 and later.
    TorchZip,
    /// A pickle: PyTorch before 1.6.
    TorchLegacy,
    /// `QLZ`: a [coded model file](qlz).
    Coded,
}

impl Format {
    /// The format of the file at `path`. A file that begins like none of them (empty, say) is taken for what its
    /// name promises, so that its reader can say what is wrong with it.
    ///
    /// # Errors
    /// If the file cannot be read, or neither contents nor name are those of a checkpoint.
    pub fn detect(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut head = Vec::new();
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        file.take(9).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
        if head.starts_with(b"version ") || head.starts_with(b"<") {
            Bytes::map(path)?; // refuses what stands in place of a file
        }
        if head.starts_with(torch_file::ZIP_MAGIC) {
            return Ok(Self::TorchZip);
        }
        if head.starts_with(qlz::MAGIC) {
            return Ok(Self::Coded);
        }
        if head.first() == Some(&0x80)
            && head.get(1).is_some_and(|&protocol| protocol <= 5)
            && head.get(8) != Some(&b'{')
        {
            return Ok(Self::TorchLegacy);
        }
        if head.get(8) == Some(&b'{') {
            return Ok(Self::Safetensors);
        }
        match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => Ok(Self::Safetensors),
            Some("qlz") => Ok(Self::Coded),
            Some("pt" | "th" | "pth" | "tar" | "pkl" | "bin") => Ok(Self::TorchLegacy),
            _ => Err(Error::malformed(
                path,
                "is neither a safetensors file nor one PyTorch saved, nor a coded model file",
            )),
        }
    }
}

/// Reads a checkpoint of any format: canonical names, the engine's layouts, all numbers finite.
///
/// # Errors
/// If the file cannot be read, is broken, refuses to be data, or holds a NaN or an infinity.
pub fn load_checkpoint(path: impl AsRef<Path>) -> Result<Checkpoint> {
    load_checkpoint_of(path, None)
}

/// [`load_checkpoint`] of a file that may hold several networks: `key` says which (see [`state_dict`]).
///
/// # Errors
/// As [`load_checkpoint`], or if it is not clear which network is meant.
pub fn load_checkpoint_of(path: impl AsRef<Path>, key: Option<&str>) -> Result<Checkpoint> {
    let path = path.as_ref();
    match Format::detect(path)? {
        Format::Safetensors => strip_prefix(Checkpoint::read(path)?, key),
        Format::Coded => {
            expect_no_key(path, key)?;
            qlz::read(path)?.checkpoint(path)
        }
        Format::TorchZip | Format::TorchLegacy => torch_file::read(path, key),
    }
}

/// The network's tensors of a flat list of names, without the prefix that stands before them.
fn strip_prefix(mut checkpoint: Checkpoint, key: Option<&str>) -> Result<Checkpoint> {
    let prefixes = state_dict::prefixes(checkpoint.tensors.iter().map(|(name, _)| name.as_str()));
    let places = prefixes.into_iter().map(|prefix| Place { path: String::new(), prefix }).collect();
    let chosen = state_dict::choose(places, key).map_err(|text| Error::malformed(&checkpoint.path, text))?;
    if let Some(place) = chosen.filter(|place| !place.prefix.is_empty()) {
        checkpoint.notes.extend(place.note());
        let stripped = checkpoint.split_off(&place.prefix);
        let canonical = |(name, tensor): (String, _)| Some((canonical_name(&name)?, tensor));
        checkpoint.tensors = stripped.into_iter().filter_map(canonical).collect();
    }
    Ok(checkpoint)
}

/// Loads a residual network: depth and shortcut are read off the tensors' names; the normalisation is the one
/// given, else the file's (PyTorch files have none), else [the course's](Normalization::COURSE).
///
/// # Errors
/// As [`load_checkpoint`], and if the tensors are not exactly those of a residual network for CIFAR-10.
pub fn load_network(path: impl AsRef<Path>, normalization: Option<Normalization>) -> Result<Network> {
    Network::from_checkpoint(load_checkpoint(path)?, normalization)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shortcut;

    #[test]
    fn a_network_comes_back_from_its_file_with_its_normalization() {
        let dir = tempfile::tempdir().unwrap();
        for (depth, shortcut) in [(8, Shortcut::A), (14, Shortcut::B)] {
            let network = Network::fresh(depth, shortcut, Normalization::TRUE, 5).unwrap();
            let path = dir.path().join("network.safetensors");
            network.checkpoint(&network.params).write(&path).unwrap();
            assert_eq!(Format::detect(&path).unwrap(), Format::Safetensors);
            let back = load_network(&path, None).unwrap();
            assert_eq!((back.depth, back.shortcut), (depth, shortcut));
            assert_eq!((&back.params, back.normalization), (&network.params, Normalization::TRUE));
            let given = load_network(&path, Some(Normalization::IMAGENET)).unwrap();
            assert_eq!(given.normalization, Normalization::IMAGENET);
        }
    }

    #[test]
    fn tensors_of_another_network_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("network.safetensors");
        let network = Network::fresh(8, Shortcut::B, Normalization::COURSE, 5).unwrap();
        let mut checkpoint = network.checkpoint(&network.params);
        checkpoint.tensors.retain(|(name, _)| name != "layer2.0.bn2.weight");
        checkpoint.write(&path).unwrap();
        let m = load_network(&path, None).unwrap_err().to_string();
        assert!(m.contains("tensor `layer2.0.bn2.weight` [32] is missing"), "{m}");
    }

    #[test]
    fn formats_are_told_apart_by_contents_then_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let detect = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            Format::detect(path)
        };
        assert_eq!(detect("x", b"PK\x03\x04....").unwrap(), Format::TorchZip);
        assert_eq!(detect("x", b"\x80\x02\x8a\x0al\xfc").unwrap(), Format::TorchLegacy);
        assert_eq!(detect("x.pt", b"\x80\x01\0\0\0\0\0\0{").unwrap(), Format::Safetensors);
        assert_eq!(detect("x.safetensors", b"").unwrap(), Format::Safetensors);
        assert_eq!(detect("x.th", b"cos\nsystem\n").unwrap(), Format::TorchLegacy);
        assert!(detect("x.txt", b"hello").unwrap_err().to_string().contains("neither"));
        let path = dir.path().join("evil.pth");
        std::fs::write(&path, b"cos\nsystem\n(S'true'\ntR.").unwrap();
        assert!(load_network(path, None).unwrap_err().to_string().contains("refuses to execute `os.system`"));
    }
}
