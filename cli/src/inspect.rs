//! `inspect`: what is in a network, and what quantization would do to each layer.
//!
//! Weights are quantized with one scale by the chosen rule. Activations are what each layer sees as its input on a
//! few images; they take the symmetric rule (the largest value), unsigned where nothing is negative. No layer is
//! spared here, also not those that a policy would leave in floats: the table shows what it would cost.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use engine::{Hook, Layer, Node, Tape, Tensor, Var};
use models::layout::torch_shape;
use models::loader::Loader;
use models::{Network, evaluate, import};
use quant::analysis::{ErrorReport, error_report};
use quant::{Mode, QParams, ScaleRule, reset_scale_and_zero_point};
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
    /// Width to quantize to, 1 to 16
    #[arg(long, value_name = "B", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    bits: u32,
    /// Rule that chooses the scale of weights
    #[arg(long, value_name = "RULE", default_value = "sawb")]
    method: ScaleRule,
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
    bits: u32,
    scale: f32,
    #[serde(flatten)]
    error: ErrorReport,
    min: f32,
    max: f32,
    bytes: usize,
    activation: Option<ActivationReport>,
}

/// The input of a layer.
#[derive(Serialize)]
struct ActivationReport {
    signed: bool,
    scale: f32,
    #[serde(flatten)]
    error: ErrorReport,
    min: f32,
    max: f32,
}

/// Inspects, prints, plots.
///
/// # Errors
/// If the network or the data cannot be read, a layer does not exist, or the folder cannot be written to.
pub fn run(args: InspectArgs, context: &Context) -> Result<()> {
    let path = assets::weights(args.weights.as_deref())?;
    let checkpoint = import::load_checkpoint(&path)?;
    let metadata = checkpoint.metadata.clone();
    let network =
        Network::from_checkpoint(checkpoint, assets::normalization(args.normalization.as_deref())?)?;
    let nodes = chosen(&network, &args.layers)?;
    let inputs = inputs(&args, context, &network)?;
    let folder = RunFolder::create(context, args.out.as_deref(), &args)?;

    let mut layers = Vec::new();
    let mut plots = Vec::new();
    for node in nodes {
        let w = network.params.get(&format!("{}.weight", node.name))?;
        let q = reset_scale_and_zero_point(w, args.bits, args.method, Mode::Symmetric, true)?;
        plots.push(plot(&format!("{}: weights", node.name), w, &q)?);
        let activation = match inputs.iter().find(|(name, _)| *name == node.name) {
            None => None,
            Some((_, x)) => {
                let signed = x.data().iter().any(|v| *v < 0.0);
                let q =
                    reset_scale_and_zero_point(x, args.bits, ScaleRule::SYMMETRIC, Mode::Symmetric, signed)?;
                plots.push(plot(&format!("{}: input", node.name), x, &q)?);
                let (min, max) = range(x);
                Some(ActivationReport { signed, scale: q.scales()[0], error: error_report(x, &q)?, min, max })
            }
        };
        let (min, max) = range(w);
        layers.push(LayerReport {
            name: node.name.clone(),
            kind: if matches!(node.layer, Layer::Linear { .. }) { "linear" } else { "conv2d" },
            shape: torch_shape(w.shape()).dims().to_vec(),
            parameters: w.len(),
            bits: args.bits,
            scale: q.scales()[0],
            error: error_report(w, &q)?,
            min,
            max,
            bytes: (w.len() * args.bits as usize).div_ceil(8),
            activation,
        });
    }
    let weights_bytes = std::fs::metadata(&path).map_err(|e| models::Error::io("open", &path, e))?.len();
    let parameters = network.params.trainable_count();
    let quantized_bytes: usize = layers.iter().map(|l| l.bytes).sum();
    let facts = format!(
        "{}: ResNet-{} option {}, {parameters} parameters, {weights_bytes} bytes; the weights below take {} bytes \
         as floats and {quantized_bytes} at {} bits",
        path.display(),
        network.depth,
        network.shortcut,
        4 * layers.iter().map(|l| l.parameters).sum::<usize>(),
        args.bits,
    );
    let report = report(&args, context, &folder, &facts, &layers, &plots)?;
    context.say(&facts)?;
    for (key, value) in &metadata {
        context.say(format_args!("  {key}: {value}"))?;
    }
    context.say(text_table(&HEAD, 3, &table(&layers)))?;
    context.say(format_args!("report {}", report.display()))?;
    context.result(&json!({
        "weights": path,
        "weights_bytes": weights_bytes,
        "depth": network.depth,
        "shortcut": network.shortcut.to_string(),
        "normalization": network.normalization.to_string(),
        "metadata": metadata,
        "parameters": parameters,
        "bits": args.bits,
        "method": args.method,
        "quantized_bytes": quantized_bytes,
        "layers": layers,
        "report": report,
        "run": folder.folder(),
    }))
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
fn plot(title: &str, x: &Tensor, q: &QParams) -> Result<(String, String)> {
    let (lo, hi) = q.clip_range(0);
    let rules = [("clips".to_string(), f64::from(lo)), ("clips".to_string(), f64::from(hi))];
    let rules = if lo == 0.0 { &rules[1..] } else { &rules[..] };
    let before = Histogram::over(x.data(), 100);
    Ok((title.to_string(), histogram(title, "value", &before, quantized(x, q)?.as_ref(), rules)))
}

const HEAD: [&str; 12] = [
    "layer",
    "kind",
    "shape",
    "weights",
    "bits",
    "scale",
    "SQNR dB",
    "clipped %",
    "bytes",
    "input",
    "input scale",
    "input SQNR dB",
];

fn table(layers: &[LayerReport]) -> Vec<Vec<String>> {
    let line = |l: &LayerReport| {
        let shape: Vec<String> = l.shape.iter().map(ToString::to_string).collect();
        let activation = l.activation.as_ref().map_or([(); 3].map(|()| String::new()), |a| {
            let kind = if a.signed { "signed" } else { "unsigned" };
            [kind.to_string(), number(f64::from(a.scale)), format!("{:.2}", a.error.sqnr_db)]
        });
        let mut line = vec![
            l.name.clone(),
            l.kind.to_string(),
            shape.join("x"),
            l.parameters.to_string(),
            l.bits.to_string(),
            number(f64::from(l.scale)),
            format!("{:.2}", l.error.sqnr_db),
            format!("{:.2}", 100.0 * l.error.clipped),
            l.bytes.to_string(),
        ];
        line.extend(activation);
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
    let mut series = vec![("weights".to_string(), layers.iter().map(|l| l.error.sqnr_db).collect())];
    if layers.iter().any(|l| l.activation.is_some()) {
        let sqnr = |l: &LayerReport| l.activation.as_ref().map_or(f64::NAN, |a| a.error.sqnr_db);
        series.push(("input".to_string(), layers.iter().map(sqnr).collect()));
    }
    let sqnr =
        bars(&format!("SQNR at {} bits, layers in the table's order", args.bits), "dB", &names, &series);
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
