//! What is said of each layer, and the page that says it.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::Tensor;
use quant::QParams;
use quant::numbers::analysis::{ErrorReport, error_report};
use serde::Serialize;

use super::InspectArgs;
use crate::run::context::Context;
use crate::run::run_folder::{REPORT, RunFolder};
use crate::run::settings;
use crate::show::heat::strip;
use crate::show::levels::{Named, before_and_after, note};
use crate::show::plot::bars;
use crate::show::report::Report;
use crate::show::svg::{Plot, Size};
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
pub(super) fn plot(title: &str, x: &Tensor, q: Option<&QParams>) -> Result<Plot> {
    let after: Vec<Named<'_>> = q.map(|q| ("quantized".into(), Some((x, q.clone())))).into_iter().collect();
    before_and_after(title, ("before", x), after, Size::USUAL)
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
    plots: &[Plot],
) -> Result<PathBuf> {
    let mut page = Report::new("Inspection");
    page.lead(facts, &[]);
    page.heading("Which layer hurts?");
    let rows = [
        ("weights".to_string(), layers.iter().map(|l| l.weights.sqnr()).collect()),
        (
            "input".to_string(),
            layers.iter().map(|l| l.activation.as_ref().map_or(f64::NAN, TensorReport::sqnr)).collect(),
        ),
    ];
    let names: Vec<String> = layers.iter().map(|l| l.name.clone()).collect();
    page.plot(&strip("Signal to quantization noise of each layer, dB", &names, &rows, "dB"));
    let numbers: Vec<String> = (1..=layers.len()).map(|i| i.to_string()).collect();
    let sqnr = bars("Signal to quantization noise, layers in the table's order", "dB", &numbers, &rows);
    folder.write("sqnr.svg", sqnr.file().as_bytes())?;
    page.note("Six decibels are one bit. The stronger the colour, the more noise.");
    page.heading("Layers");
    page.table(&HEAD, &table(layers));
    page.heading("Distributions before and after quantization");
    if let Some(text) = note(plots) {
        page.note(text);
    }
    page.plots(plots);
    let plots_folder = folder.path("plots");
    std::fs::create_dir_all(&plots_folder).map_err(|e| models::Error::io("create", &plots_folder, e))?;
    for plot in plots {
        let name = format!("{}.svg", plot.title.replace(": ", "-"));
        folder.write(Path::new("plots").join(name), plot.file().as_bytes())?;
    }
    page.heading("Configuration");
    page.verbatim(&settings::to_text(&context.verb, context.seed, args)?);
    folder.write(REPORT, page.finish().as_bytes())
}
