//! `inspect` of a model file without floats: its nodes, one after the other.

use std::path::Path;

use anyhow::Result;
use engine::nearest::did_you_mean;

use quant::int_graph::bitpack::packed_len;
use quant::int_graph::file::About;
use quant::int_graph::{IntGraph, IntNode, Op, ValueId};
use quant::requantize::Requantize;
use serde::Serialize;
use serde_json::json;

use super::InspectArgs;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::show::text_table::text_table;

/// A node.
#[derive(Serialize)]
struct NodeRow {
    name: String,
    op: &'static str,
    /// Weights `[O, KH, KW, C]` or `[O, I]`; empty without.
    shape: Vec<usize>,
    bits: Option<u32>,
    /// Of the weights, packed.
    bytes: usize,
    multiply_adds: usize,
    inputs: Vec<ValueId>,
    outputs: Vec<OutputRow>,
}

/// A value that a node writes.
#[derive(Serialize)]
struct OutputRow {
    value: ValueId,
    dims: [usize; 3],
    bits: u32,
    zero_point: i32,
    scale: f32,
    /// `2^shift` divides the sum after the multiplication, `2^left` multiplies it before; `None`: codes are copied.
    shift: Option<u32>,
    left: Option<u32>,
    clip: Option<[i32; 2]>,
}

impl NodeRow {
    fn new(graph: &IntGraph, node: &IntNode, multiply_adds: usize) -> Self {
        let weights = node.op.weights();
        let requantized: Vec<Option<&Requantize>> = match &node.op {
            Op::Conv2d { outputs, .. } | Op::GlobalAvgPool { outputs, .. } => {
                outputs.iter().map(|(_, q)| Some(q)).collect()
            }
            op => vec![None; op.outputs().count()],
        };
        let output = |(value, q): (ValueId, Option<&Requantize>)| {
            let v = &graph.values()[value];
            OutputRow {
                value,
                dims: v.dims,
                bits: v.bits,
                zero_point: v.zero_point,
                scale: v.scale,
                shift: q.map(|q| q.shift),
                left: q.map(|q| q.left),
                clip: q.map(|q| [q.lo, q.hi]),
            }
        };
        Self {
            name: node.name.clone(),
            op: node.op.kind(),
            shape: weights.map_or(vec![], |(w, _)| w.dims().to_vec()),
            bits: weights.map(|(_, bits)| bits),
            bytes: weights.map_or(0, |(w, bits)| packed_len(w.len(), bits)),
            multiply_adds,
            inputs: node.op.inputs(),
            outputs: node.op.outputs().zip(requantized).map(output).collect(),
        }
    }

    fn row(&self) -> Vec<String> {
        let join = |numbers: &[usize], by: &str| {
            numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(by)
        };
        let each =
            |f: &dyn Fn(&OutputRow) -> String| self.outputs.iter().map(f).collect::<Vec<_>>().join(" ");
        vec![
            self.name.clone(),
            self.op.into(),
            join(&self.shape, "x"),
            self.bits.map_or(String::new(), |bits| bits.to_string()),
            self.bytes.to_string(),
            join(&self.inputs, " "),
            each(&|o| o.value.to_string()),
            self.outputs.first().map_or(String::new(), |o| join(&o.dims, "x")),
            each(&|o| o.bits.to_string()),
            each(&|o| o.shift.map_or(String::new(), |shift| shift.to_string())),
        ]
    }
}

const HEAD: [&str; 10] =
    ["node", "op", "weights", "bits", "bytes", "reads", "writes", "dims", "code bits", "shifts"];

/// Prints what is in it.
///
/// # Errors
/// If a layer does not exist, or a flag asks what only a network with floats can answer.
pub fn run(
    args: &InspectArgs,
    context: &Context,
    path: &Path,
    graph: &IntGraph,
    about: &About,
) -> Result<()> {
    if !args.compare.is_empty() {
        let text = format!(
            "--compare: {} is an integer-only network without floats to draw; give the .latent file beside it as --weights",
            path.display()
        );
        return Err(Failure::Usage(text).into());
    }
    let asked = [
        ("--bits", args.bits.is_some()),
        ("--method", args.method.is_some()),
        ("--normalization", args.input.normalization.is_some()),
        ("--images", args.images.is_some()),
        ("--out", args.out.is_some()),
    ];
    if let Some((flag, _)) = asked.iter().find(|(_, given)| *given) {
        let text = format!(
            "{flag}: {} is an integer-only network; its nodes are listed as they are, and nothing is drawn",
            path.display()
        );
        return Err(Failure::Usage(text).into());
    }
    let all = graph.nodes().iter().zip(graph.multiply_adds());
    let nodes: Vec<NodeRow> = all
        .filter(|(node, _)| args.layers.is_empty() || args.layers.contains(&node.name))
        .map(|(node, work)| NodeRow::new(graph, node, work))
        .collect();
    if let Some(unknown) = args.layers.iter().find(|name| nodes.iter().all(|node| node.name != **name)) {
        let known: Vec<&str> = graph.nodes().iter().map(|n| n.name.as_str()).collect();
        let near = did_you_mean(unknown, &known);
        let text = format!("unknown layer `{unknown}`{near}; nodes: {}", known.join(", "));
        return Err(Failure::Usage(text).into());
    }
    let weights_bytes = super::file_len(path)?;
    let work: usize = graph.multiply_adds().iter().sum();
    let facts = format!(
        "{}: an integer-only network of {} nodes, {weights_bytes} bytes, {} of them weights; {:.1} million \
         multiply-adds an image",
        path.display(),
        graph.nodes().len(),
        graph.weight_bytes(),
        work as f64 / 1e6
    );
    context.say(&facts)?;
    for (key, value) in about {
        context.say(format_args!("  {key}: {value}"))?;
    }
    context.say(text_table(&HEAD, 3, &nodes.iter().map(NodeRow::row).collect::<Vec<_>>()))?;
    context.result(&json!({
        "weights": path,
        "weights_bytes": weights_bytes,
        "quantized_bytes": graph.weight_bytes(),
        "image": graph.image(),
        "classes": graph.logit_scale().len(),
        "multiply_adds": work,
        "metadata": about,
        "nodes": nodes,
    }))
}
