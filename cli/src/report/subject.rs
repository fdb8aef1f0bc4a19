//! A quantized network beside the float one that it comes from, layer by layer.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::Tensor;
use models::data::data_set::DataSet;
use models::nets::equalize::equalize;
use models::{Checkpoint, Network, QuantizedNetwork};
use quant::numbers::analysis::error_report;
use quant::{Plan, QParams, QuantConfig, Quantization, Widths};

use super::Sources;
use super::past_run::PastRun;
use super::results::Results;
use super::sensitivity::{Sensitivity, sensitivities};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::inputs;
use crate::show::levels::{Named, before_and_after};
use crate::show::scale_curve::scale_curve;
use crate::show::svg::{Plot, Size};

/// How many layers' weights have their error drawn against the scale.
const CURVES: usize = 4;

/// A network of a run, taken apart.
pub struct Subject {
    /// `PTQ W4A4`, and the run where there are several.
    pub name: String,
    /// Its layers, in its order.
    pub layers: Vec<LayerFacts>,
    /// Histograms of weights before and after.
    pub weights: Vec<Plot>,
    /// Histograms of inputs before and after.
    pub inputs: Vec<Plot>,
    /// Error against scale of the weights that lose most.
    pub curves: Vec<Plot>,
    /// What could not be looked at, and why.
    pub absent: Vec<String>,
}

/// A layer with weights.
pub struct LayerFacts {
    /// Its name.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// `None`: it stays in floats.
    pub widths: Option<Widths>,
    /// Signal to quantization noise of the float network's weights by the run's rule, dB; NaN where it stays in floats.
    pub weights_db: f64,
    /// The same of what it sees in the float network; NaN where that is not known.
    pub input_db: f64,
    /// Signal to noise of the logits, dB, if this layer alone is rounded in the float network; NaN where that is not known.
    pub logits_db: f64,
    /// Images of which that changes the class, percent.
    pub changed: f64,
}

impl LayerFacts {
    /// Bytes of its weights in floats, and as they are stored.
    pub fn bytes(&self) -> (usize, usize) {
        let float = 4 * self.weights;
        (float, self.widths.map_or(float, |widths| (self.weights * widths.w as usize).div_ceil(8)))
    }
}

impl Subject {
    /// Every network whose file the runs have.
    ///
    /// # Errors
    /// If a file is damaged, or a place that `sources` names holds nothing.
    pub fn all(context: &Context, runs: &[PastRun], sources: &Sources) -> Result<Vec<Self>> {
        let mut subjects = Vec::new();
        for run in runs {
            let Some(results) = &run.results else { continue };
            let mut asked = Vec::new();
            for measured in &results.networks {
                let Some(path) = measured.model.as_ref().map(|model| run.folder.join(model)) else {
                    continue;
                };
                if measured.is_quantized() && path.exists() {
                    let name = run.label(&measured.name, runs.len() == 1);
                    subjects.push(Self::open(context, name, &path, (run, results), sources, &mut asked)?);
                }
            }
        }
        Ok(subjects)
    }

    fn open(
        context: &Context,
        name: String,
        path: &Path,
        (run, results): (&PastRun, &Results),
        sources: &Sources,
        asked: &mut Vec<Asked>,
    ) -> Result<Self> {
        let none = || Failure::BadInput(format!("{}: holds no quantized network", path.display()));
        let quantized =
            QuantizedNetwork::from_checkpoint(&Checkpoint::read(path)?, None)?.ok_or_else(none)?;
        let mut absent = Vec::new();
        let float = float_network(context, run, results, sources)?;
        if let Some((file, float)) = &float {
            assets::expect_kin(file.display(), float, (path, &quantized.network))?;
        }
        if float.is_none() {
            absent.push("The float network is not where the run had it, so that the quantized network's own float weights stand for it, and what single layers do to it is not known; give --weights FILE.".into());
        }
        let before = float.as_ref().map_or(&quantized.network, |(_, float)| float);
        let data = sources.data.as_deref().unwrap_or(&results.data);
        let data = match DataSet::open(data, &mut |_, _| ()) {
            Ok(data) => Some(data),
            Err(e) if sources.data.is_some() => return Err(e.into()),
            Err(_) => None,
        };
        // Others may lie where the run had its own.
        let known = quantized.network.classes.len();
        let data = data
            .filter(|data| sources.images > 0 && (sources.data.is_some() || data.classes().len() == known));
        if data.is_none() {
            absent.push("What layers see, and how much each of them hurts, takes images: the data set is not where the run had it, or --images is 0; give --data DIR.".into());
        }
        let (seen, alone) = match &data {
            None => (None, Vec::new()),
            Some(data) => {
                let images = (Some(data.folder.as_path()), sources.images);
                let hook = quantized.quantization.simulated();
                let seen = inputs(context, images, (path, before), None)?;
                let of = &quantized.quantization;
                let alone = match &float {
                    Some((_, float)) => Asked::of(asked, of, || {
                        sensitivities(context, float, of, (data, sources.images), &seen)
                    })?,
                    None => Vec::new(),
                };
                (Some((seen, inputs(context, images, (path, &quantized.network), Some(hook))?)), alone)
            }
        };
        let by_rule =
            Quantization::new(quantized.quantization.config.clone(), quantized.quantization.plan.clone());
        let mut subject = Self {
            name,
            layers: Vec::new(),
            weights: Vec::new(),
            inputs: Vec::new(),
            curves: Vec::new(),
            absent,
        };
        let mut candidates: Vec<(f64, &str, &Tensor, QParams)> = Vec::new();
        for (layer, widths) in quantized.quantization.plan.layers() {
            let w = quantized.network.params.get(&format!("{layer}.weight"))?;
            let mut facts = LayerFacts {
                name: layer.clone(),
                weights: w.len(),
                widths: *widths,
                weights_db: f64::NAN,
                input_db: f64::NAN,
                logits_db: f64::NAN,
                changed: f64::NAN,
            };
            if let Some(widths) = widths {
                let q = quantized.quantization.weight_params(layer, w, widths.w)?;
                let float = before.params.get(&format!("{layer}.weight"))?;
                subject.weights.push(picture(layer, float, w, &q)?);
                let q = by_rule.weight_params(layer, float, widths.w)?;
                facts.weights_db = error_report(float, &q)?.sqnr_db;
                if widths.w > 0 {
                    candidates.push((facts.weights_db, layer, float, q)); // what is dropped has no scale
                }
                if let Some((float, after)) = &seen {
                    let of = |all: &'_ [(String, Tensor)]| all.iter().position(|(name, _)| name == layer);
                    if let (Some(i), Some(j)) = (of(float), of(after)) {
                        let q = quantized.quantization.ranges.params(layer, widths.a)?;
                        subject.inputs.push(picture(layer, &float[i].1, &after[j].1, &q)?);
                    }
                }
            }
            if let Some(s) = alone.iter().find(|s| s.layer == *layer) {
                (facts.input_db, facts.logits_db, facts.changed) = (s.input_db, s.logits_db, s.changed);
            }
            subject.layers.push(facts);
        }
        candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
        for (_, layer, w, q) in candidates.iter().take(CURVES) {
            let title = format!("{layer}, weights at {} bits", q.grid().bits());
            subject.curves.extend(scale_curve(&title, w.data(), q.grid(), &quant::scale::TABLE));
        }
        Ok(subject)
    }
}

/// What rounding single layers does to a run's float network by these rules. Before and after training they are the same.
struct Asked {
    config: QuantConfig,
    plan: Plan,
    answer: Vec<Sensitivity>,
}

impl Asked {
    /// The answer to the rules of `of`: one that was `asked` for already, or what `measure` finds.
    fn of(
        asked: &mut Vec<Self>,
        of: &Quantization,
        measure: impl FnOnce() -> Result<Vec<Sensitivity>>,
    ) -> Result<Vec<Sensitivity>> {
        let known = asked.iter().find(|known| known.config == of.config && known.plan == of.plan);
        if let Some(known) = known {
            return Ok(known.answer.clone());
        }
        let (config, plan, answer) = (of.config.clone(), of.plan.clone(), measure()?);
        asked.push(Self { config, plan, answer: answer.clone() });
        Ok(answer)
    }
}

fn picture(layer: &str, float: &Tensor, after: &Tensor, q: &QParams) -> Result<Plot> {
    let after: Named<'_> = ("quantized".into(), Some((after, q.clone())));
    before_and_after(layer, ("float", float), vec![after], Size::SMALL)
}

/// The float network that a run began with, as the run prepared it, and its file; `None` if it is not there any more.
fn float_network(
    context: &Context,
    run: &PastRun,
    results: &Results,
    sources: &Sources,
) -> Result<Option<(PathBuf, Network)>> {
    let path = sources.weights.as_ref().or(results.weights.as_ref());
    let Some(path) = path.filter(|path| path.exists() || sources.weights.is_some()) else { return Ok(None) };
    let key = run.setting("weights_key");
    let normalization = assets::normalization(run.setting("normalization").as_deref())?;
    let (path, mut network) = assets::load_network(context, Some(path), key.as_deref(), normalization)?;
    equalize(&network.graph, &mut network.params)?;
    Ok(Some((path, network)))
}
