//! `inspect`: what is in a network, and what quantization would do to each layer.
//!
//! A quantized network is shown as it is: each layer's widths, scales and errors. For a float network the question is
//! "what if": weights take one scale by the chosen rule, activations (what each layer sees as its input on a few
//! images) the symmetric rule, unsigned where nothing is negative, and no layer is spared, also not those that a
//! policy would leave in floats: the table shows what it would cost. `--bits` and `--method` ask that of a quantized
//! network too. What a layer sees is what the network computes: behind rounded layers in a quantized one that is shown as it
//! is, behind layers in floats where the question is "what if".

mod compare;
mod integer_only;
mod names;
mod page;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use engine::nearest::did_you_mean;
use engine::{Layer, Node, Tensor};
use models::formats::OF_ITS_FORM;
use models::formats::layout::torch_shape;
use models::formats::{Model, Opened};
use models::{Network, QuantizedNetwork};
use quant::{QParams, Quantization, ScaleRule, Symmetry, reset_scale_and_zero_point};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::arguments;
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::inputs;
use crate::run::input::InputArgs;
use crate::run::run_folder::RunFolder;
use crate::show::text_table::text_table;
use compare::{Comparison, Inspected, plot_layers_histogram};
use page::{HEAD, LayerReport, TensorReport, plot, range, report, table};

/// Settings of `inspect`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct InspectArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    /// Width to quantize to, 1 to 16 [default: what the file says, else 4]
    #[arg(long, value_name = "B", value_parser = arguments::width)]
    bits: Option<u32>,
    /// Rule that chooses the scale of weights [default: what the file says, else sawb]
    #[arg(long, value_name = "RULE")]
    method: Option<ScaleRule>,
    /// Only these layers
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    layers: Vec<String>,
    /// Quantized networks (latent or packed files) to draw on the same axes, their grids and clipping ranges marked
    #[arg(long, value_name = "FILE,..", value_delimiter = ',')]
    compare: Vec<PathBuf>,
    /// Training images to take activations from; 0: only weights [default: 128]
    #[arg(long, value_name = "N")]
    images: Option<usize>,
    /// Folder of plots and report [default: runs/inspect-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl InspectArgs {
    /// Training images to take activations from.
    fn images(&self) -> usize {
        self.images.unwrap_or(128)
    }
}

/// How the network is to be quantized.
enum Quantizers {
    /// As its file says.
    Own(Box<Quantization>),
    /// What if.
    Asked { bits: u32, method: ScaleRule },
}

impl Quantizers {
    fn of_weight(&self, layer: &str, w: &Tensor) -> Result<Option<QParams>> {
        Ok(match self {
            Self::Own(q) => {
                q.plan.get(layer).map(|widths| q.weight_params(layer, w, widths.w)).transpose()?
            }
            Self::Asked { bits, method } => {
                Some(reset_scale_and_zero_point(w, *bits, *method, Symmetry::Symmetric, true)?)
            }
        })
    }

    fn of_input(&self, layer: &str, x: &Tensor) -> Result<Option<QParams>> {
        Ok(match self {
            Self::Own(q) => q.plan.get(layer).map(|widths| q.ranges.params(layer, widths.a)).transpose()?,
            Self::Asked { bits, .. } => {
                let signed = range(x).0 < 0.0;
                Some(reset_scale_and_zero_point(x, *bits, ScaleRule::SYMMETRIC, Symmetry::Symmetric, signed)?)
            }
        })
    }

    /// In words.
    fn describe(&self) -> String {
        match self {
            Self::Own(q) => format!(
                "{} by policy `{}`, weights by `{}`",
                q.config.bits, q.config.policy, q.config.weight_rule
            ),
            Self::Asked { bits, method } => format!("all at {bits} bits, weights by `{method}`"),
        }
    }
}

/// Inspects, prints, plots.
///
/// # Errors
/// If the network or the data cannot be read, a layer does not exist, or the folder cannot be written to.
pub fn run(args: InspectArgs, context: &Context) -> Result<()> {
    let (path, Opened { model, mut metadata, .. }) = assets::open_network(context, &args.input)?;
    metadata.retain(|key, _| !OF_ITS_FORM.contains(&key.as_str())); // long, and shown in the table
    let asked = args.bits.is_some() || args.method.is_some();
    let (bits, method) = match &model {
        Model::Quantized(own) => (own.quantization.config.bits.w, own.quantization.config.weight_rule),
        _ => (4, ScaleRule::SAWB),
    };
    let (bits, method) = (args.bits.unwrap_or(bits), args.method.unwrap_or(method));
    let quantized = match &model {
        Model::Quantized(network) => Some(names::name(&path, &metadata, network)),
        _ => None,
    };
    let (network, quantizers) = match model {
        Model::Integer(graph) => return integer_only::run(&args, context, &path, &graph, &metadata),
        Model::Quantized(QuantizedNetwork { network, quantization }) if !asked => {
            (network, Quantizers::Own(Box::new(quantization)))
        }
        Model::Quantized(QuantizedNetwork { network, .. }) | Model::Float(network) => {
            (network, Quantizers::Asked { bits, method })
        }
    };
    let nodes = chosen(&network, &args.layers)?;
    let rounded = match &quantizers {
        Quantizers::Own(quantization) => Some(quantization.simulated()),
        Quantizers::Asked { .. } => None,
    };
    let inputs = inputs(context, (args.input.data.as_deref(), args.images()), (&path, &network), rounded)?;
    let inspected =
        Inspected { file: &path, quantized, network: &network, quantizers: &quantizers, inputs: &inputs };
    let comparison = Comparison::open(&args, context, &inspected)?;
    let folder = RunFolder::create(context, args.out.as_deref(), &args)?;

    let mut layers = Vec::new();
    let mut plots = Vec::new();
    for node in nodes {
        let w = network.params.get(&format!("{}.weight", node.name))?;
        let q = quantizers.of_weight(&node.name, w)?;
        if let Some(comparison) = &comparison {
            let x = inputs.iter().find(|(name, _)| *name == node.name).map(|(_, x)| x);
            plots.extend(plot_layers_histogram(&node.name, w, x, comparison)?);
        }
        plots.push(plot(&format!("{}: weights", node.name), w, q.as_ref())?);
        let activation = match inputs.iter().find(|(name, _)| *name == node.name) {
            None => None,
            Some((_, x)) => {
                let q = quantizers.of_input(&node.name, x)?;
                plots.push(plot(&format!("{}: input", node.name), x, q.as_ref())?);
                Some(TensorReport::new(x, q.as_ref())?)
            }
        };
        layers.push(LayerReport {
            name: node.name.clone(),
            kind: if matches!(node.layer, Layer::Linear { .. }) { "linear" } else { "conv2d" },
            shape: torch_shape(w.shape()).dims().to_vec(),
            parameters: w.len(),
            weights: TensorReport::new(w, q.as_ref())?,
            bytes: (w.len() * q.as_ref().map_or(32, |q| q.grid().bits() as usize)).div_ceil(8),
            activation,
        });
    }
    let weights_bytes = file_len(&path)?;
    let parameters = network.params.trainable_count();
    let quantized_bytes: usize = layers.iter().map(|l| l.bytes).sum();
    let facts = format!(
        "{}: {}, {parameters} parameters, {weights_bytes} bytes; {}: the weights below take \
         {quantized_bytes} bytes, {} as floats",
        path.display(),
        network.label(),
        quantizers.describe(),
        4 * layers.iter().map(|l| l.parameters).sum::<usize>(),
    );
    let report = report(&args, context, &folder, &facts, &layers, &plots)?;
    context.say(&facts)?;
    for (key, value) in &metadata {
        context.say(format_args!("  {key}: {value}"))?;
    }
    context.say(text_table(&HEAD, 3, &table(&layers)))?;
    context.say(format_args!("report {}", report.display()))?;
    let (asked, own) = match &quantizers {
        Quantizers::Asked { bits, method } => (Some((bits, method)), None),
        Quantizers::Own(q) => (None, Some(&q.config)),
    };
    context.result(&json!({
        "weights": path,
        "weights_bytes": weights_bytes,
        "depth": network.depth,
        "shortcut": network.shortcut.to_string(),
        "normalization": network.normalization.to_string(),
        "metadata": metadata,
        "parameters": parameters,
        "bits": asked.map(|a| a.0),
        "method": asked.map(|a| a.1),
        "quantization": own,
        "quantized_bytes": quantized_bytes,
        "layers": layers,
        "report": report,
        "run": folder.folder(),
    }))
}

/// Bytes of a file.
fn file_len(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).map_err(|e| models::Error::io("open", path, e))?.len())
}

/// The layers with weights, or those of them that are named.
fn chosen<'a>(network: &'a Network, names: &[String]) -> Result<Vec<&'a Node>> {
    let all: Vec<&Node> = network.graph.weighted().collect();
    if let Some(unknown) = names.iter().find(|name| all.iter().all(|node| node.name != **name)) {
        let known: Vec<&str> = all.iter().map(|n| n.name.as_str()).collect();
        let near = did_you_mean(unknown, &known);
        let text = format!("unknown layer `{unknown}`{near}; layers with weights: {}", known.join(", "));
        return Err(Failure::Usage(text).into());
    }
    Ok(all.into_iter().filter(|node| names.is_empty() || names.contains(&node.name)).collect())
}
