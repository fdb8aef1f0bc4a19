//! Integer-only networks on disk, and the way there from a quantized network.

use std::path::Path;

use quant::int_graph::file::About;
use quant::int_graph::{IntGraph, lower};

use crate::mmap::Bytes;
use crate::{Error, QuantizedNetwork, Result, atomic};

/// Height and width of CIFAR's images.
const SIDE: usize = 32;

impl QuantizedNetwork {
    /// The network without floats: see [`quant::int_graph`].
    ///
    /// # Errors
    /// If the plan leaves a layer float (policy `course` does), or a sum could overflow.
    pub fn lower(&self) -> Result<IntGraph> {
        let (network, quantization) = (&self.network, &self.quantization);
        Ok(lower(&lower::Source {
            graph: &network.graph,
            params: &network.params,
            config: &quantization.config,
            plan: &quantization.plan,
            ranges: &quantization.ranges,
            image: [SIDE, SIDE, 3],
            pixel: &|c, p| network.normalization.apply(c, p),
        })?)
    }
}

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

/// Writes a model file, [whole or not at all](atomic::write).
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(path: &Path, graph: &IntGraph, about: &About) -> Result<()> {
    atomic::write(path, &graph.to_bytes(about))
}
