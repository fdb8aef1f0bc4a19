//! `export --to qlz`: a coded model file, and where its bytes are.

use std::path::Path;

use anyhow::Result;
use models::formats::{Model, atomic, qlz};
use quant::int_graph::bitpack::packed_len;
use quant::int_graph::file::About;
use serde_json::json;

use super::ExportArgs;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::program;

/// Writes, says what takes how much.
///
/// # Errors
/// If the network is not quantized, rounding makes it impossible, or the file cannot be written.
pub fn run(args: &ExportArgs, context: &Context, path: &Path, model: Model, about: About) -> Result<()> {
    let mut about = about;
    if args.mantissa_bits.is_some() {
        about.retain(|key, _| !super::MEASURED.contains(&key.as_str()));
    }
    let ((bytes, parts), packed, bits) = match (model, args.mantissa_bits) {
        (Model::Float(_), _) => {
            let text = format!(
                "{}: holds a float network, which has no codes; make a quantized one with `{1} ptq` or `{1} qat`",
                path.display(),
                program::name()
            );
            return Err(Failure::BadInput(text).into());
        }
        // Its integers are rounded: the floats that they are made of would give others with as many digits.
        (Model::Quantized(quantized), Some(n)) if quantized.is_integer_only() => {
            about.extend(quantized.checkpoint().metadata);
            let graph = quantized.lower()?.rounded(n)?;
            let bits = quantized.quantization.config.bits;
            (qlz::of_integers(&graph, &about)?, graph.weight_bytes(), Some(bits))
        }
        (Model::Quantized(quantized), n) => {
            let quantized = n.map_or(Ok(quantized.clone()), |n| quantized.rounded(n))?;
            let of = &quantized.quantization;
            let layers = of.layer_sizes(&quantized.network.params)?;
            let bits = layers.iter().filter_map(|l| Some(packed_len(l.weights, of.plan.get(&l.name)?.w)));
            (qlz::of_network(&quantized, &about)?, bits.sum(), Some(of.config.bits))
        }
        (Model::Integer(graph), n) => {
            let graph = n.map_or(Ok(graph.clone()), |n| graph.rounded(n))?;
            (qlz::of_integers(&graph, &about)?, graph.weight_bytes(), None)
        }
    };
    atomic::write(&args.out, &bytes)?;
    let before = std::fs::metadata(path).map_err(|e| models::Error::io("open", path, e))?.len();
    context.say(format_args!(
        "{}: {} bytes ({:.2} KiB), {:.1}% of the {before} of {}",
        args.out.display(),
        bytes.len(),
        bytes.len() as f64 / 1024.0,
        100.0 * bytes.len() as f64 / before as f64,
        path.display()
    ))?;
    let saved = 100.0 * (1.0 - parts.codes as f64 / packed as f64);
    context.say(format_args!(
        "codes {} bytes ({saved:.1}% less than the {packed} of their width), scales {}, norms {}, header {}",
        parts.codes, parts.scales, parts.norms, parts.header
    ))?;
    context.result(&json!({
        "model": path,
        "to": args.to,
        "out": args.out,
        "bytes": bytes.len(),
        "bytes_before": before,
        "parts": parts,
        "packed_weights_bytes": packed,
        "mantissa_bits": args.mantissa_bits,
        "bits": bits,
    }))
}
