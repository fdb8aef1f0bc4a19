//! What is said of each layer, and the page that says it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::Tensor;
use quant::numbers::analysis::{ErrorReport, error_report};
use quant::{Granularity, QParams};
use serde::Serialize;

use super::InspectArgs;
use crate::run::context::Context;
use crate::run::run_folder::{REPORT, RunFolder};
use crate::run::settings;
use crate::show::histogram::Histogram;
use crate::show::levels::quantized;
use crate::show::plot::{bars, histogram};
use crate::show::report::Report;
use crate::show::text_table::number;

/// A layer with weights.
#[derive(Serialize)]
pub(super) struct LayerReport {
    pub(super) name: String,
    pub(super) kind: &'static str,
    /// On disk: `[O, I, KH, KW]`.
    pub(super) shape: Vec<usize>,
    pub(super) parameters: usize,
    /// Of the weights.
    #[serde(flatten)]
    pub(super) weights: TensorReport,
    /// Bytes of the weights, packed.
    pub(super) bytes: usize,
    /// Of what the layer sees.
    pub(super) activation: Option<TensorReport>,
}

/// A tensor and, if it is quantized, its error.
#[derive(Serialize)]
pub(super) struct TensorReport {
    /// `None`: it stays in floats.
    pub(super) bits: Option<u32>,
    pub(super) signed: bool,
    /// The largest, where each channel has its own.
    pub(super) scale: Option<f32>,
    #[serde(flatten)]
    pub(super) error: Option<ErrorReport>,
    pub(super) min: f32,
    pub(super) max: f32,
}

impl TensorReport {
    pub(super) fn new(x: &Tensor, q: Option<&QParams>) -> Result<Self> {
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

pub(super) fn range(x: &Tensor) -> (f32, f32) {
    x.data().iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}

/// Before and after.
pub(super) fn plot(title: &str, x: &Tensor, q: Option<&QParams>) -> Result<(String, String)> {
    // One picture has room for one grid.
    let q = q.filter(|q| q.granularity() == Granularity::PerTensor);
    let (lo, hi) = q.map_or((0.0, 0.0), |q| q.clip_range(0));
    let clips = [lo, hi].into_iter().filter(|clip| *clip != 0.0);
    let rules: Vec<_> = clips.map(|clip| ("clips".to_string(), f64::from(clip))).collect();
    let after = q.map(|q| quantized(x, q)).transpose()?.flatten();
    let after: Vec<_> = after.map(|levels| ("after quantization".to_string(), levels)).into_iter().collect();
    let before = Histogram::over(x.data(), 100);
    Ok((title.to_string(), histogram(title, "value", ("before", &before), &after, &rules)))
}

pub(super) const HEAD: [&str; 13] = [
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

pub(super) fn table(layers: &[LayerReport]) -> Vec<Vec<String>> {
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
pub(super) fn report(
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
    folder.write(REPORT, page.finish().as_bytes())
}
