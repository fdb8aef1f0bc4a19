//! `inspect`: what is in a network, and what quantization would do to each layer.
//!
//! A quantized network is shown as it is: each layer's widths, scales and errors. For a float network the question is
//! "what if": weights take one scale by the chosen rule, activations (what each layer sees as its input on a few
//! images) the symmetric rule, unsigned where nothing is negative, and no layer is spared, also not those that a
//! policy would leave in floats: the table shows what it would cost. `--bits` and `--method` ask that of a quantized
//! network too.

mod integer_only;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use engine::{Hook, Layer, Node, Tape, Tensor, Var};
use models::layout::torch_shape;
use models::loader::Loader;
use models::quantized::KEY;
use models::{Network, Quantization, QuantizedNetwork, evaluate, import, int_model, packed};
use quant::analysis::{ErrorReport, error_report};
use quant::{Granularity, Mode, QParams, ScaleRule, reset_scale_and_zero_point};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::context::Context;
use crate::exit::Failure;
use crate::histogram::Histogram;
use crate::levels::quantized;
use crate::plot::{bars, histogram};
use crate::report::Report;
use crate::run_folder::RunFolder;
use crate::text_table::{number, text_table};
use crate::{assets, settings};

/// Settings of `inspect`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectArgs {
    /// The network [default: the one that comes with the program]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Width to quantize to, 1 to 16 [default: what the file says, else 4]
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..=16))]
    bits: Option<u32>,
    /// Rule that chooses the scale of weights [default: what the file says, else sawb]
    #[arg(long, value_name = "RULE")]
    method: Option<ScaleRule>,
    /// Only these layers
    #[arg(long, value_name = "NAME,..", value_delimiter = ',')]
    layers: Vec<String>,
    /// CIFAR-10 in binary format, for activations [default: the slice that comes with the program]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Training images to take activations from; 0: only weights
    #[arg(long, value_name = "N", default_value_t = 128)]
    images: usize,
    /// mean,mean,mean/std,std,std, or course, true, imagenet [default: what the file says, else course]
    #[arg(long, value_name = "MEAN/STD")]
    normalization: Option<String>,
    /// Folder of plots and report [default: runs/inspect-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// A layer with weights.
#[derive(Serialize)]
struct LayerReport {
    name: String,
    kind: &'static str,
    /// On disk: `[O, I, KH, KW]`.
    shape: Vec<usize>,
    parameters: usize,
    /// Of the weights.
    #[serde(flatten)]
    weights: TensorReport,
    /// Bytes of the weights, packed.
    bytes: usize,
    /// Of what the layer sees.
    activation: Option<TensorReport>,
}

/// A tensor and, if it is quantized, its error.
#[derive(Serialize)]
struct TensorReport {
    /// `None`: it stays in floats.
    bits: Option<u32>,
    signed: bool,
    /// The largest, where each channel has its own.
    scale: Option<f32>,
    #[serde(flatten)]
    error: Option<ErrorReport>,
    min: f32,
    max: f32,
}

impl TensorReport {
    fn new(x: &Tensor, q: Option<&QParams>) -> Result<Self> {
        let (min, max) = range(x);
        Ok(Self {
            bits: q.map(|q| q.grid().bits()),
            signed: min < 0.0,
            scale: q.map(|q| q.scales().iter().copied().fold(0.0, f32::max)),
            error: q.map(|q| error_report(x, q)).transpose()?,
            min,
            max,
        })
    }

    fn sqnr(&self) -> f64 {
        self.error.map_or(f64::NAN, |e| e.sqnr_db)
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
                q.plan.get(layer).map(|widths| q.config.weight_params(layer, w, widths.w)).transpose()?
            }
            Self::Asked { bits, method } => {
                Some(reset_scale_and_zero_point(w, *bits, *method, Mode::Symmetric, true)?)
            }
        })
    }

    fn of_input(&self, layer: &str, x: &Tensor) -> Result<Option<QParams>> {
        Ok(match self {
            Self::Own(q) => q.plan.get(layer).map(|widths| q.ranges.params(layer, widths.a)).transpose()?,
            Self::Asked { bits, .. } => {
                let signed = range(x).0 < 0.0;
                Some(reset_scale_and_zero_point(x, *bits, ScaleRule::SYMMETRIC, Mode::Symmetric, signed)?)
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
    let path = assets::weights(args.weights.as_deref())?;
    if int_model::is_model(&path) {
        return integer_only::run(&args, context, &path);
    }
    let normalization = assets::normalization(args.normalization.as_deref())?;
    let checkpoint = import::load_checkpoint(&path)?;
    let mut metadata = checkpoint.metadata.clone();
    metadata.retain(|key, _| key != KEY && key != packed::KEY); // long, and shown in the table
    let (network, quantizers) = match QuantizedNetwork::from_checkpoint(&checkpoint, normalization)? {
        Some(QuantizedNetwork { network, quantization }) if args.bits.is_none() && args.method.is_none() => {
            (network, Quantizers::Own(Box::new(quantization)))
        }
        _ => {
            let (bits, method) = (args.bits.unwrap_or(4), args.method.unwrap_or(ScaleRule::SAWB));
            (Network::from_checkpoint(checkpoint, normalization)?, Quantizers::Asked { bits, method })
        }
    };
    let nodes = chosen(&network, &args.layers)?;
    let inputs = inputs(&args, context, &network)?;
    let folder = RunFolder::create(context, args.out.as_deref(), &args)?;

    let mut layers = Vec::new();
    let mut plots = Vec::new();
    for node in nodes {
        let w = network.params.get(&format!("{}.weight", node.name))?;
        let q = quantizers.of_weight(&node.name, w)?;
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
        "{}: ResNet-{} option {}, {parameters} parameters, {weights_bytes} bytes; {}: the weights below take \
         {quantized_bytes} bytes, {} as floats",
        path.display(),
        network.depth,
        network.shortcut,
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
        let text = format!("unknown layer `{unknown}`; layers with weights: {}", known.join(", "));
        return Err(Failure::Usage(text).into());
    }
    Ok(all.into_iter().filter(|node| names.is_empty() || names.contains(&node.name)).collect())
}

/// What each layer sees on the first training images.
fn inputs(args: &InspectArgs, context: &Context, network: &Network) -> Result<Vec<(String, Tensor)>> {
    if args.images == 0 {
        return Ok(Vec::new());
    }
    let data = assets::open_data(args.data.as_deref())?;
    let images = args.images.min(data.train.len());
    let loader =
        Loader::evaluation(&data.train, 64, network.normalization).over((0..images).collect::<Vec<_>>());
    let mut inputs = Inputs { seen: Vec::new() };
    context.note(format_args!("activations of {images} images of {}", data.folder.display()));
    evaluate(&network.graph, &network.params, loader.epoch(0), &mut inputs, |_| ())?;
    let tensor = |(name, values): (String, Vec<f32>)| Ok((name, Tensor::from_vec([values.len()], values)?));
    inputs.seen.into_iter().map(tensor).collect()
}

/// Keeps a sample of every layer's input.
struct Inputs {
    seen: Vec<(String, Vec<f32>)>,
}

/// Of each batch and layer, about so many values are kept.
const KEPT: usize = 40_000;

impl Hook for Inputs {
    fn input(&mut self, tape: &mut Tape, node: &Node, x: Var) -> engine::Result<Var> {
        let values = tape.value(x).data();
        let place = self.seen.iter().position(|(name, _)| *name == node.name).unwrap_or_else(|| {
            self.seen.push((node.name.clone(), Vec::new()));
            self.seen.len() - 1
        });
        let kept = &mut self.seen[place].1;
        // An odd stride meets all channels; the extremes decide the scale, so they are always among the kept.
        let stride = (values.len() / KEPT) | 1;
        kept.extend(values.iter().step_by(stride));
        kept.extend(values.iter().copied().reduce(f32::min));
        kept.extend(values.iter().copied().reduce(f32::max));
        Ok(x)
    }
}

fn range(x: &Tensor) -> (f32, f32) {
    x.data().iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}

/// Before and after.
fn plot(title: &str, x: &Tensor, q: Option<&QParams>) -> Result<(String, String)> {
    // One picture has room for one grid.
    let q = q.filter(|q| q.granularity() == Granularity::PerTensor);
    let (lo, hi) = q.map_or((0.0, 0.0), |q| q.clip_range(0));
    let clips = [lo, hi].into_iter().filter(|clip| *clip != 0.0);
    let rules: Vec<_> = clips.map(|clip| ("clips".to_string(), f64::from(clip))).collect();
    let after = q.map(|q| quantized(x, q)).transpose()?.flatten();
    let before = Histogram::over(x.data(), 100);
    Ok((title.to_string(), histogram(title, "value", &before, after.as_ref(), &rules)))
}

const HEAD: [&str; 13] = [
    "layer",
    "kind",
    "shape",
    "weights",
    "bits",
    "scale",
    "SQNR dB",
    "clipped %",
    "bytes",
    "input bits",
    "signed",
    "input scale",
    "input SQNR dB",
];

fn table(layers: &[LayerReport]) -> Vec<Vec<String>> {
    let line = |l: &LayerReport| {
        let shape: Vec<String> = l.shape.iter().map(ToString::to_string).collect();
        let mut line = vec![l.name.clone(), l.kind.to_string(), shape.join("x"), l.parameters.to_string()];
        let bits = |t: &TensorReport| t.bits.map_or("float".to_string(), |bits| bits.to_string());
        let scale = |t: &TensorReport| t.scale.map_or(String::new(), |s| number(f64::from(s)));
        let sqnr = |t: &TensorReport| t.error.map_or(String::new(), |e| format!("{:.2}", e.sqnr_db));
        let clipped = l.weights.error.map_or(String::new(), |e| format!("{:.2}", 100.0 * e.clipped));
        line.extend([bits(&l.weights), scale(&l.weights), sqnr(&l.weights), clipped, l.bytes.to_string()]);
        match &l.activation {
            None => line.resize(HEAD.len(), String::new()),
            Some(a) => line.extend([bits(a), if a.signed { "yes" } else { "no" }.into(), scale(a), sqnr(a)]),
        }
        line
    };
    layers.iter().map(line).collect()
}

/// Writes the plots and the page; returns the page's path.
fn report(
    args: &InspectArgs,
    context: &Context,
    folder: &RunFolder,
    facts: &str,
    layers: &[LayerReport],
    plots: &[(String, String)],
) -> Result<PathBuf> {
    let mut page = Report::new("Inspection");
    page.text(facts);
    page.table(&HEAD, &table(layers));
    let names: Vec<String> = (1..=layers.len()).map(|i| i.to_string()).collect();
    let mut series = vec![("weights".to_string(), layers.iter().map(|l| l.weights.sqnr()).collect())];
    if layers.iter().any(|l| l.activation.is_some()) {
        let sqnr = |l: &LayerReport| l.activation.as_ref().map_or(f64::NAN, TensorReport::sqnr);
        series.push(("input".to_string(), layers.iter().map(sqnr).collect()));
    }
    let sqnr = bars("Signal to quantization noise, layers in the table's order", "dB", &names, &series);
    folder.write("sqnr.svg", sqnr.as_bytes())?;
    page.plot(&sqnr);
    page.heading("Distributions before and after quantization");
    let plots_folder = folder.path("plots");
    std::fs::create_dir_all(&plots_folder).map_err(|e| models::Error::io("create", &plots_folder, e))?;
    for (title, plot) in plots {
        page.plot(plot);
        folder
            .write(Path::new("plots").join(format!("{}.svg", title.replace(": ", "-"))), plot.as_bytes())?;
    }
    page.heading("Configuration");
    page.verbatim(&settings::to_text(&context.verb, context.seed, args)?);
    folder.write("report.html", page.finish().as_bytes())
}
