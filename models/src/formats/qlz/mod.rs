//! Coded model files: a quantized network in as few bytes as it takes (`.qlz`).
//!
//! | bytes | hold |
//! |---|---|
//! | 3 | `QLZ` |
//! | 1 | version: 1 |
//! | 4 | CRC-32 of what follows, little-endian |
//! | the rest | one stream of the [range coder](quant::coding) |
//!
//! The stream holds either kind of model file, to the last bit: a network with [packed weights](super::packed), laid out by
//! [`network`], or an [integer-only network](super::int_model), laid out by [`IntGraph::coded`]. There are no names, shapes or
//! places in it: the depth says them all. What is lossy comes before, as a change of the network that is saved:
//! [`QuantizedNetwork::rounded`], [`IntGraph::rounded`].
//!
//! The checksum finds damage; the bounds that the decoder keeps hold whatever the checksum says. Networks deeper than
//! [`DEEPEST`](network::DEEPEST) are neither written nor read, so that a small file cannot claim a large memory.

pub mod network;

use std::collections::BTreeMap;
use std::path::Path;

use quant::coding::{BitModel, Coder, Decoder, Encoder, Part, Text};
use quant::int_graph::IntGraph;
use quant::int_graph::file::About;

use super::mmap::Bytes;
use super::{OF_ITS_FORM, int_model, latent_path};
use crate::{Checkpoint, Error, QuantizedNetwork, Result, resnet};

/// The first bytes, whatever the version.
pub const MAGIC: &[u8] = b"QLZ";
const VERSION: u8 = 1;
/// Bytes in front of the stream.
const HEAD: usize = 8;

/// What a file holds.
#[derive(Clone, Debug)]
pub enum Content {
    /// A network with packed weights, as [`Checkpoint::read`] gives it.
    Network(Checkpoint),
    /// An integer-only network, as [`int_model::read`] gives it.
    Integer(IntGraph, About),
}

/// Where the bytes of a file are. They add up to its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Parts {
    /// Checksum, architecture, widths, texts.
    pub header: usize,
    /// Scales of weights, ranges of activations.
    pub scales: usize,
    /// Norms, biases, layers in floats; multipliers and biases of an integer-only network.
    pub norms: usize,
    /// The codes of the weights.
    pub codes: usize,
}

/// The bytes of a file of `quantized`, and where they are; `about` is what else is to be said of it. If the network
/// [is integer-only](QuantizedNetwork::is_integer_only), it is lowered, as [`QuantizedNetwork::save`] does.
///
/// # Errors
/// If a weight cannot be quantized, a sum could overflow, or the network is deeper than is kept.
pub fn of_network(quantized: &QuantizedNetwork, about: &About) -> Result<(Vec<u8>, Parts)> {
    if quantized.is_integer_only() {
        // What the network says of itself holds, not what is said of another one that it was.
        let mut all = about.clone();
        all.extend(quantized.checkpoint().metadata);
        return of_integers(&quantized.lower()?, &all);
    }
    let mut encoder = Encoder::default();
    encoder.bit(false, &mut BitModel::default());
    network::pass(&mut encoder, Some((quantized, about)))?;
    Ok(sealed(encoder))
}

/// The bytes of a file of an integer-only network, and where they are.
///
/// # Errors
/// If a text of `about` is too long.
pub fn of_integers(graph: &IntGraph, about: &About) -> Result<(Vec<u8>, Parts)> {
    let mut encoder = Encoder::default();
    encoder.bit(true, &mut BitModel::default());
    let mut about = about.clone();
    about.retain(|key, _| !OF_ITS_FORM.contains(&key.as_str()));
    let about = pass_about(&mut encoder, &about)?;
    IntGraph::coded(&mut encoder, Some(graph), &names(&about))?;
    Ok(sealed(encoder))
}

/// Whether the file begins like one of these; `false` if it cannot be read.
pub fn is_coded(path: &Path) -> bool {
    Bytes::map(path).is_ok_and(|bytes| bytes.starts_with(MAGIC))
}

/// Reads a file.
///
/// # Errors
/// If it cannot be opened, its checksum is wrong, or what it holds is no network; the message names the file.
pub fn read(path: &Path) -> Result<Content> {
    from_bytes(path, &Bytes::map(path)?)
}

fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Content> {
    let broken = |detail: String| Error::malformed(path, format!("coded model file: {detail}"));
    let Some((head, stream)) = bytes.split_at_checked(HEAD).filter(|(head, _)| head.starts_with(MAGIC))
    else {
        return Err(broken("it is cut short".into()));
    };
    if head[3] != VERSION {
        return Err(broken(format!("version {}, this program reads {VERSION}", head[3])));
    }
    let (said, found) = (u32::from_le_bytes([4, 5, 6, 7].map(|i| head[i])), crc32fast::hash(stream));
    if said != found {
        let text = format!(
            "its checksum is {said:08x}, that of its contents {found:08x}: it is damaged, fetch it anew"
        );
        return Err(broken(text));
    }
    let mut decoder = Decoder::new(stream);
    let content = if decoder.bit(false, &mut BitModel::default()) {
        let about = pass_about(&mut decoder, &About::new());
        about.and_then(|about| {
            let graph = IntGraph::coded(&mut decoder, None, &names(&about))?;
            Ok(Content::Integer(graph, about))
        })
    } else {
        network::pass(&mut decoder, None).map(|mut checkpoint| {
            checkpoint.path = path.to_path_buf();
            Content::Network(checkpoint)
        })
    };
    let content = content.map_err(|e| broken(e.to_string()))?;
    decoder.finish().map_err(|e| broken(e.to_string()))?;
    Ok(content)
}

impl Content {
    /// The checkpoint.
    ///
    /// # Errors
    /// If it is an integer-only network, which has none.
    pub(super) fn checkpoint(self, path: &Path) -> Result<Checkpoint> {
        match self {
            Self::Network(checkpoint) => Ok(checkpoint),
            Self::Integer(..) => Err(int_model::has_no_floats(path, &latent_path(path))),
        }
    }
}

/// The file around a stream.
fn sealed(encoder: Encoder) -> (Vec<u8>, Parts) {
    let (stream, bits) = encoder.finish();
    let mut file = [MAGIC, &[VERSION], &crc32fast::hash(&stream).to_le_bytes()].concat();
    file.extend(stream);
    let of = |part| (bits.get(&part).unwrap_or(&0.0) / 8.0).round() as usize;
    let (scales, norms, codes) = (of(Part::Scales), of(Part::Norms), of(Part::Codes));
    let header = file.len().saturating_sub(scales + norms + codes);
    (file, Parts { header, scales, norms, codes })
}

/// Passes texts under their keys.
fn pass_about(c: &mut impl Coder, about: &About) -> Result<About> {
    let given: String = about.iter().flat_map(|(key, text)| [key.as_str(), "\0", text, "\0"]).collect();
    let text = Text::default().code(c, &given)?;
    c.check()?;
    let mut words = text.split_terminator('\0');
    let mut all = BTreeMap::new();
    while let Some(key) = words.next() {
        all.insert(key.to_owned(), words.next().unwrap_or_default().to_owned());
    }
    Ok(all)
}

/// The names that the nodes of the network in `about` have; none if it says nothing of it.
fn names(about: &About) -> Vec<String> {
    let depth = about.get("arch").and_then(|arch| arch.strip_prefix("resnet")?.parse().ok());
    let shortcut = about.get("shortcut").and_then(|s| s.parse().ok());
    let graph = depth.zip(shortcut).filter(|(depth, _)| *depth <= network::DEEPEST);
    let graph = graph.and_then(|(depth, shortcut)| resnet(depth, shortcut, 1).ok());
    graph.map_or(Vec::new(), |graph| graph.nodes().iter().map(|node| node.name.clone()).collect())
}
