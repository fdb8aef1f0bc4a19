//! Integer-only networks on disk, and their accuracy.

use std::path::Path;

use engine::ops::argmax;
use quant::int_graph::file::About;
use quant::int_graph::{IntEngine, IntGraph};

use crate::data::cifar10::{CHANNELS, SIDE, interleave};
use crate::data::classes::Classes;
use crate::data::loader::Loader;
use crate::formats::atomic;
use crate::formats::mmap::Bytes;
use crate::{Error, Evaluation, Result};

/// Reads a model file through a memory map.
///
/// # Errors
/// If it cannot be opened, or is not an intact model file; the message names the file.
pub fn read(path: &Path) -> Result<(IntGraph, About)> {
    let bytes = Bytes::map(path)?;
    IntGraph::from_bytes(&bytes).map_err(|e| Error::malformed(path, e.to_string()))
}

/// Whether the file is an integer-only network; `false` if it cannot be read.
pub fn is_model(path: &Path) -> bool {
    Bytes::map(path).is_ok_and(|bytes| IntGraph::is_model(&bytes))
}

/// What the network in the file `path` tells apart.
///
/// # Errors
/// If the names that the file has are not one for each logit.
pub fn classes(path: &Path, graph: &IntGraph, about: &About) -> Result<Classes> {
    Classes::of_metadata(about, graph.logit_scale().len()).map_err(|detail| Error::malformed(path, detail))
}

/// Refuses the network in the file `path` if it takes other images than the data sets have.
///
/// # Errors
/// Saying which it takes.
pub fn expect_image(path: &Path, graph: &IntGraph) -> Result<()> {
    if graph.image() == [SIDE, SIDE, CHANNELS] {
        return Ok(());
    }
    Err(Error::malformed(path, format!("takes images {:?}, not 32x32 in colour", graph.image())))
}

/// The error of those who look for float weights in an integer-only network; they are in `latent`, if that is there.
pub(super) fn has_no_floats(path: &Path, latent: &Path) -> Error {
    let detail = format!(
        "is an integer-only network, which has no float weights; they are in {}, if that is there",
        latent.display()
    );
    Error::malformed(path, detail)
}

/// Images computed between two calls of `seen`.
const CHUNK: usize = 512;

/// Classifies the images of `loader`, as bytes, in order; `seen` is called with the images done so far.
///
/// # Errors
/// If the images cannot be computed with; see [`expect_image`] for networks from files.
pub fn evaluate(engine: &IntEngine, loader: &Loader, mut seen: impl FnMut(usize)) -> Result<Evaluation> {
    let classes = engine.graph().logit_scale().len();
    let mut evaluation = Evaluation::default();
    for chunk in loader.indices.chunks(CHUNK) {
        let images: Vec<u8> = chunk.iter().flat_map(|&i| interleave(loader.set.image(i))).collect();
        let logits = engine.run(&images)?;
        for (&i, row) in chunk.iter().zip(logits.chunks_exact(classes)) {
            let row = engine.graph().real_logits(row);
            evaluation.correct += usize::from(argmax(&row) == loader.set.label(i));
            evaluation.logits.extend(row);
        }
        evaluation.images += chunk.len();
        seen(evaluation.images);
    }
    Ok(evaluation)
}

/// Writes a model file, [whole or not at all](atomic::write).
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(path: &Path, graph: &IntGraph, about: &About) -> Result<()> {
    atomic::write(path, &graph.to_bytes(about))
}
