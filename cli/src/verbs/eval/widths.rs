//! How many bits a file's weights have, and how many bytes: of the weights alone, as the course counts, beside the whole file.

use quant::Quantization;
use quant::int_graph::IntGraph;
use quant::int_graph::bitpack::packed_len;
use serde_json::{Map, Value, json};

use crate::show::objective::Objective;

/// The quantized layers of a network: name, number of weights, bits.
pub struct LayerWidths(Vec<(String, usize, u32)>);

impl LayerWidths {
    /// Of a quantized network with these parameters; layers in floats are not among them.
    ///
    /// # Errors
    /// If a layer has no weights.
    pub fn of(quantization: &Quantization, params: &engine::Params) -> engine::Result<Self> {
        let bits = quantization.plan.layers().iter().filter_map(|(_, widths)| widths.map(|widths| widths.w));
        let sizes = quantization.layer_sizes(params)?;
        Ok(Self(sizes.into_iter().zip(bits).map(|(layer, bits)| (layer.name, layer.weights, bits)).collect()))
    }

    /// Of an integer-only network.
    pub fn of_integers(graph: &IntGraph) -> Self {
        let layer = |node: &quant::int_graph::IntNode| {
            node.op.weights().map(|(w, bits)| (node.name.clone(), w.len(), bits))
        };
        Self(graph.nodes().iter().filter_map(layer).collect())
    }

    /// Bytes of the packed weights, without scales.
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(_, weights, bits)| packed_len(*weights, *bits)).sum()
    }

    /// `weights of 2 to 5 bits, 24.7 KiB; file 44.1 KiB`.
    pub fn text(&self, file: u64) -> String {
        let bits = || self.0.iter().map(|(_, _, bits)| *bits);
        let range = match (bits().min(), bits().max()) {
            (Some(least), Some(most)) if least < most => format!("{least} to {most}"),
            (_, most) => most.unwrap_or(0).to_string(),
        };
        let kib = |bytes: usize| Objective::Bytes.shown(bytes);
        format!("weights of {range} bits, {:.1} KiB; file {:.1} KiB", kib(self.bytes()), kib(file as usize))
    }

    /// `{"conv1": 5, ...}`.
    pub fn object(&self) -> Value {
        Value::Object(self.0.iter().map(|(name, _, bits)| (name.clone(), json!(bits))).collect::<Map<_, _>>())
    }
}
