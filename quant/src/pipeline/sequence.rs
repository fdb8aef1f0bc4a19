//! Post-training corrections by their names, one after another.
//!
//! | name | needs | changes |
//! |---|---|---|
//! | `equalize` | nothing | factors between layers: [`cross_layer`](crate::equalize::cross_layer()) |
//! | `flip` | nothing | signs of channels: [`flip`](crate::equalize::flip()) |
//! | `balance` | nothing | factors between channels: [`balance`](crate::equalize::balance()) |
//! | `bias_analytic` | nothing | means: [`analytic`](super::analytic) |
//! | `adaround` | images | the rounding of weights, layer by layer: [`rounding`](crate::rounding) |
//! | `bias`, `batch_norm` | images | means, and variances: [`correct`](super::correct) |
//! | `brecq`, `qdrop` | images | the same block by block, and steps of activations |
//! | `adaquant` | images | weights, steps and batch norms, block by block |
//!
//! The first three change the float network without changing what it computes, and so come before everything that looks at
//! rounded weights. `adaround` looks at a layer without its batch norm, so that it makes statistics of the old rounding wrong: it
//! comes before they are measured. What learns the batch norms comes last.

mod order;

use std::fmt;
use std::str::FromStr;

use engine::{Error, Graph, Params, Result, Tensor};
use serde::{Deserialize, Serialize};

use super::analytic::correct_analytically;
use super::{Correction, Quantized, Quantizer, Reference};
use crate::equalize::{balance, cross_layer, flip};
use crate::rounding::{Method, Report, reconstruct};
use crate::{Granularity, QuantConfig};

/// One correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Cross-layer equalization.
    Equalize,
    /// Channels turned over, taken back by the batch norm.
    Flip,
    /// A step for every channel, taken back by the batch norm.
    Balance,
    /// The means, without data.
    BiasAnalytic,
    /// The means, from images.
    Bias,
    /// Means and variances, from images.
    BatchNorm,
    /// Learned rounding of each layer.
    AdaRound,
    /// Learned rounding of each block.
    Brecq,
    /// The same under randomly dropped rounding of activations.
    QDrop,
    /// Learned weights of each block.
    AdaQuant,
}

/// Every correction and its name, in the order they make sense.
pub const STEPS: [(Step, &str); 10] = [
    (Step::Equalize, "equalize"),
    (Step::Flip, "flip"),
    (Step::Balance, "balance"),
    (Step::BiasAnalytic, "bias_analytic"),
    (Step::AdaRound, "adaround"),
    (Step::Bias, "bias"),
    (Step::BatchNorm, "batch_norm"),
    (Step::Brecq, "brecq"),
    (Step::QDrop, "qdrop"),
    (Step::AdaQuant, "adaquant"),
];

impl Step {
    /// Its name.
    pub fn name(self) -> &'static str {
        STEPS.iter().find(|(step, _)| *step == self).map_or("", |(_, name)| name)
    }

    /// The reconstruction it is, if it is one.
    pub fn method(self) -> Option<Method> {
        match self {
            Self::AdaRound => Some(Method::ADAROUND),
            Self::Brecq => Some(Method::BRECQ),
            Self::QDrop => Some(Method::QDROP),
            Self::AdaQuant => Some(Method::ADAQUANT),
            _ => None,
        }
    }

    /// Whether it changes the float network, and looks at no rounding.
    fn is_float(self) -> bool {
        matches!(self, Self::Equalize | Self::Flip | Self::Balance)
    }

    fn learns_norms(self) -> bool {
        self.method().is_some_and(|method| method.norms)
    }

    fn corrects_norms(self) -> bool {
        matches!(self, Self::BiasAnalytic | Self::Bias | Self::BatchNorm)
    }
}

/// What reconstructions are given beside the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Draws their batches.
    pub seed: u64,
    /// Updates of each unit, where it is not to be the method's own number.
    pub iterations: Option<usize>,
}

/// Corrections in the order they are made; none, if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Sequence(Vec<Step>);

impl Sequence {
    /// These corrections, in this order.
    ///
    /// # Errors
    /// If one comes behind another that it must precede, or `bias_analytic` twice.
    pub fn new(steps: Vec<Step>) -> Result<Self> {
        for (i, step) in steps.iter().enumerate() {
            if let Some(text) = order::refusal(&steps[..i], *step) {
                return Err(Error::value("correction", text));
            }
        }
        Ok(Self(steps))
    }

    /// The corrections.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether one of them is learned, update by update.
    pub fn learns(&self) -> bool {
        self.0.iter().any(|step| step.method().is_some())
    }

    /// The network `graph` with the float `params`, quantized by `quantizer` and corrected. `images` gives the calibration
    /// images anew each time; `report` hears of reconstructions.
    ///
    /// # Errors
    /// If there are no images or they do not fit, or an activation is not finite.
    pub fn quantize<I: Iterator<Item = Tensor>>(
        &self,
        quantizer: &Quantizer,
        (graph, params): (&Graph, &Params),
        images: impl Fn() -> I,
        effort: Effort,
        report: &mut dyn FnMut(Step, Report<'_>),
    ) -> Result<Quantized> {
        let (mut float, mut quantizer) = (params.clone(), quantizer.clone());
        for step in &self.0 {
            let QuantConfig { weight_rule, weight_granularity, .. } = *quantizer.config();
            match step {
                Step::Equalize => _ = cross_layer(graph, &mut float)?,
                Step::Flip => flip(graph, &mut float, &quantizer.plan(graph)?, weight_rule)?,
                // With a scale for each channel there is nothing to balance.
                Step::Balance if weight_granularity == Granularity::PerTensor => {
                    let scales = balance(graph, &mut float, &quantizer.plan(graph)?, weight_rule)?;
                    quantizer = quantizer.with_weight_scales(scales);
                }
                _ => {}
            }
        }
        let mut quantized = quantizer.calibrate(graph, &float, images())?;
        for &step in &self.0 {
            let statistics = match step {
                Step::Bias => Some(Correction::Bias),
                Step::BatchNorm => Some(Correction::BatchNorm),
                _ => None,
            };
            if let Some(correction) = statistics {
                let reference = Reference::new(graph, &float, images())?;
                quantized.params =
                    reference.correct_from(&quantized.params, &quantized.quantization, correction)?;
            }
            if step == Step::BiasAnalytic {
                correct_analytically(&mut quantized, &float)?;
            }
            if let Some(method) = step.method() {
                let iterations = effort.iterations.unwrap_or(method.iterations);
                let (method, mut heard) = (Method { iterations, ..method }, |r: Report<'_>| report(step, r));
                reconstruct(&mut quantized, &float, images(), &method, effort.seed, &mut heard)?;
            }
        }
        Ok(quantized)
    }
}

impl From<Step> for Sequence {
    fn from(step: Step) -> Self {
        Self(vec![step])
    }
}

/// Names with commas between them; `-` and `_` are the same; `none` is the empty sequence.
impl FromStr for Sequence {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Self::default());
        }
        let step = |name: &str| {
            if name.trim() == "none" {
                return Err(Error::value("correction", format!("`{text}`: `none` stands alone")));
            }
            let found = STEPS.iter().find(|(_, known)| *known == name.trim().replace('-', "_"));
            found.map(|(step, _)| *step).ok_or_else(|| {
                let steps = STEPS.iter().map(|(_, name)| *name);
                let known: Vec<_> = std::iter::once("none").chain(steps).collect();
                Error::unknown_choice("correction", "correction", name, &known)
            })
        };
        Self::new(text.split(',').map(step).collect::<Result<_>>()?)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|step| step.name()).collect();
        f.write_str(if names.is_empty() { "none".into() } else { names.join(",") }.as_str())
    }
}

impl From<Sequence> for String {
    fn from(sequence: Sequence) -> Self {
        sequence.to_string()
    }
}

impl TryFrom<String> for Sequence {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_parse_back_in_their_order() {
        for text in ["none", "batch_norm", "equalize,balance,bias_analytic,adaround,batch_norm", "bias,qdrop"]
        {
            assert_eq!(text.parse::<Sequence>().unwrap().to_string(), text);
        }
        assert_eq!("bias-analytic, batch-norm".parse::<Sequence>().unwrap().steps().len(), 2);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let message = |text: &str| text.parse::<Sequence>().unwrap_err().to_string();
        let unknown = message("batch_norm,magic");
        assert!(
            unknown.contains("`magic`") && STEPS.iter().all(|(_, name)| unknown.contains(name)),
            "{unknown}"
        );
        assert!(message("none,batch_norm").contains("`none` stands alone"));
    }
}
