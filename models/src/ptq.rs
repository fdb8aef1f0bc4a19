//! Post-training quantization: activation ranges from a few images, and a correction of what rounding does to
//! the statistics of every layer. No gradients, no labels.
//!
//! 1. [`calibrate`]: run the float network, watch the input of every layer, choose its range by a scale rule.
//! 2. [`Reference::correct`]: rounding a convolution's weights and inputs moves the mean and changes the variance of each of
//!    its output channels. The batch norm behind it has a mean and a variance of its own that can absorb
//!    both:
//!
//! ```text
//! running_mean  <-  running_mean + ( mean_q - mean_f )
//! running_var   <-  running_var * var_q / var_f
//! ```
//!
//!    where `f` is the float network and `q` the quantized one *on the same images*: the noise of a small sample
//!    cancels in the difference, so that 1,000 images do. (Re-estimating the statistics from 1,000 images outright
//!    loses more accuracy than it gains.) Both networks normalise by the batch, so that each layer's shift is
//!    measured behind layers already corrected. The first line alone is the bias correction of Nagel et al.,
//!    "Data-free quantization through weight equalization and bias correction" (ICCV 2019), section 4.2, its
//!    empirical form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use engine::ops::BatchStats;
use engine::{Float, Hook, Node, Params, Tape, Var};
use quant::{CalibrateHook, MovingAverage, Observer, Plan, Ranges, ScaleRule};
use serde::{Deserialize, Serialize};

use crate::loader::Batch;
use crate::quantized::Quantization;
use crate::{Error, Network, Result};

/// How the range of activations is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ActivationRule {
    /// From the histogram of all calibration images, by a scale rule: `symmetric` takes the largest value.
    Scale(ScaleRule),
    /// The moving average of each batch's largest value, as in training.
    MovingAverage,
}

impl ActivationRule {
    /// The rule of a batch's range in training.
    pub fn scale_rule(self) -> ScaleRule {
        match self {
            Self::Scale(rule) => rule,
            Self::MovingAverage => ScaleRule::SYMMETRIC,
        }
    }
}

/// `max` and `mse` are other names of `symmetric` and `heuristic`.
impl FromStr for ActivationRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "max" => Self::Scale(ScaleRule::SYMMETRIC),
            "mse" => Self::Scale(ScaleRule::HEURISTIC),
            "moving_average" => Self::MovingAverage,
            name => Self::Scale(ScaleRule::parse(name).map_err(|_| {
                let known: Vec<_> = quant::scale::TABLE.iter().map(|rule| rule.name).collect();
                let known = known.join(", ");
                Error::Value(format!(
                    "unknown activation rule `{name}`; known: max, mse, moving_average, {known}"
                ))
            })?),
        })
    }
}

impl fmt::Display for ActivationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(rule) if *rule == ScaleRule::SYMMETRIC => f.write_str("max"),
            Self::Scale(rule) if *rule == ScaleRule::HEURISTIC => f.write_str("mse"),
            Self::Scale(rule) => rule.fmt(f),
            Self::MovingAverage => f.write_str("moving_average"),
        }
    }
}

impl From<ActivationRule> for String {
    fn from(rule: ActivationRule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for ActivationRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// What [`Reference::correct`] changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Nothing.
    None,
    /// The means.
    Bias,
    /// The means and the variances.
    BatchNorm,
}

impl FromStr for Correction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "bias" => Ok(Self::Bias),
            "batch_norm" => Ok(Self::BatchNorm),
            _ => Err(Error::Value(format!("unknown correction `{text}`; known: none, bias, batch_norm"))),
        }
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Bias => "bias",
            Self::BatchNorm => "batch_norm",
        })
    }
}

/// The range of each quantized layer's input over `batches`, seen by the float network.
///
/// # Errors
/// If there are no batches, or an activation is NaN.
pub fn calibrate(
    network: &Network,
    plan: &Plan,
    rule: ActivationRule,
    batches: impl Iterator<Item = Batch>,
) -> Result<Ranges> {
    match rule {
        ActivationRule::Scale(rule) => {
            let mut hook = CalibrateHook::default();
            run_all(network, batches, &mut hook)?;
            Ok(hook.ranges(plan, rule)?)
        }
        ActivationRule::MovingAverage => {
            let mut hook = AverageHook::default();
            run_all(network, batches, &mut hook)?;
            let ranges = plan.inputs().map(|(layer, _)| {
                let range = hook.averages.get(layer).and_then(Observer::range);
                let unseen = || Error::Value(format!("layer `{layer}` has seen no activations"));
                Ok((layer.to_owned(), range.ok_or_else(unseen)?))
            });
            Ok(Ranges(ranges.collect::<Result<_>>()?))
        }
    }
}

fn run_all(network: &Network, batches: impl Iterator<Item = Batch>, hook: &mut dyn Hook) -> Result<()> {
    for batch in batches {
        network.graph.infer(&network.params, batch.x, hook)?;
    }
    Ok(())
}

/// The moving average of the extremes of every layer's input.
#[derive(Default)]
struct AverageHook {
    averages: BTreeMap<String, MovingAverage>,
}

impl Hook for AverageHook {
    fn input(&mut self, tape: &mut Tape, node: &Node, x: Var) -> engine::Result<Var> {
        self.averages.entry(node.name.clone()).or_default().observe(tape.value(x).data())?;
        Ok(x)
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Var) -> engine::Result<Var> {
        self.input(tape, node, x)
    }
}

/// What the float network does with the correction's images, measured once and compared with any number of
/// quantizations.
pub struct Reference {
    batches: Vec<Batch>,
    /// Of each batch, each batch norm's name and statistics.
    statistics: Vec<Vec<(String, BatchStats)>>,
    /// Mean of each class's logit.
    logits: Vec<f64>,
    /// The float parameters.
    params: Params,
}

impl Reference {
    /// Runs the float `network` over `batches`.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn new(network: &Network, batches: impl Iterator<Item = Batch>) -> Result<Self> {
        let batches: Vec<Batch> = batches.collect();
        let Network { graph, params, .. } = network;
        let statistics = |batch: &Batch| Ok(graph.batch_statistics(params, batch.x.clone(), &mut Float)?);
        Ok(Self {
            statistics: batches.iter().map(statistics).collect::<Result<_>>()?,
            logits: mean_logits(network, &batches, &mut Float)?,
            params: params.clone(),
            batches,
        })
    }

    /// The parameters with the running statistics moved by what `quantization` does to the statistics of the
    /// layers, and the classifier's bias by what is then left in the mean of the logits: the module's equations.
    ///
    /// # Errors
    /// If a layer has no range.
    pub fn correct(
        &self,
        network: &mut Network,
        quantization: &Quantization,
        correction: Correction,
    ) -> Result<()> {
        network.params.clone_from(&self.params);
        if correction == Correction::None {
            return Ok(());
        }
        let mut shifts: BTreeMap<&str, Shift> = BTreeMap::new();
        for (batch, in_float) in self.batches.iter().zip(&self.statistics) {
            let mut hook = quantization.simulated();
            let quantized = network.graph.batch_statistics(&self.params, batch.x.clone(), &mut hook)?;
            for ((name, f), (_, q)) in in_float.iter().zip(quantized) {
                let shift = shifts.entry(name).or_default();
                shift.batches += 1.0;
                add(&mut shift.mean, f.mean.iter().zip(&q.mean).map(|(f, q)| f64::from(*q) - f64::from(*f)));
                add(&mut shift.var_f, f.var.iter().map(|&v| f64::from(v)));
                add(&mut shift.var_q, q.var.iter().map(|&v| f64::from(v)));
            }
        }
        for (name, shift) in shifts {
            let mean = network.params.get_mut(&format!("{name}.running_mean"))?;
            for (m, s) in mean.data_mut().iter_mut().zip(&shift.mean) {
                *m += (s / shift.batches) as f32;
            }
            if correction == Correction::BatchNorm {
                let var = network.params.get_mut(&format!("{name}.running_var"))?;
                for ((v, q), f) in var.data_mut().iter_mut().zip(&shift.var_q).zip(&shift.var_f) {
                    // A channel that is constant, in either network, stays as it is.
                    let ratio = if *f > 0.0 && *q > 0.0 { q / f } else { 1.0 };
                    *v *= ratio as f32;
                }
            }
        }
        self.correct_logits(network, quantization)
    }

    /// The last layer has no batch norm behind it: its bias takes the shift of the mean.
    fn correct_logits(&self, network: &mut Network, quantization: &Quantization) -> Result<()> {
        let logits = mean_logits(network, &self.batches, &mut quantization.simulated())?;
        let last = network.graph.weighted().last().map(|node| format!("{}.bias", node.name));
        let Some(last) = last.filter(|bias| network.params.index(bias).is_some()) else { return Ok(()) };
        let bias = network.params.get_mut(&last)?.data_mut();
        for ((b, f), q) in bias.iter_mut().zip(&self.logits).zip(logits) {
            *b -= (q - f) as f32;
        }
        Ok(())
    }
}

/// The mean of each logit over all images.
fn mean_logits(network: &Network, batches: &[Batch], hook: &mut dyn Hook) -> Result<Vec<f64>> {
    let (mut sums, mut images) = (Vec::new(), 0);
    for batch in batches {
        let logits = network.graph.infer(&network.params, batch.x.clone(), hook)?;
        for row in logits.data().chunks(logits.dims()[1]) {
            add(&mut sums, row.iter().map(|&v| f64::from(v)));
            images += 1;
        }
    }
    Ok(sums.into_iter().map(|sum| sum / f64::from(images)).collect())
}

/// Sums over the batches, per channel.
#[derive(Default)]
struct Shift {
    batches: f64,
    mean: Vec<f64>,
    var_f: Vec<f64>,
    var_q: Vec<f64>,
}

fn add(sum: &mut Vec<f64>, terms: impl ExactSizeIterator<Item = f64>) {
    sum.resize(terms.len(), 0.0);
    sum.iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
}

#[cfg(test)]
mod tests {
    use quant::QuantConfig;

    use super::*;
    use crate::augment::Normalization;
    use crate::loader::Loader;
    use crate::synthetic::noise_images;
    use crate::{Shortcut, evaluate};

    fn setup(bits: &str) -> (Network, Quantization, Loader) {
        let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
        let loader = Loader::evaluation(&set, 8, network.normalization);
        let config = QuantConfig { bits: bits.parse().unwrap(), ..QuantConfig::default() };
        let plan = config.policy.plan(&network.graph, config.bits);
        let rule = ActivationRule::Scale(ScaleRule::HEURISTIC);
        let ranges = calibrate(&network, &plan, rule, loader.epoch(0)).unwrap();
        (network, Quantization { config, plan, ranges }, loader)
    }

    /// Mean squared distance of the logits from the float network's.
    fn distance(float: &Network, network: &Network, quantization: &Quantization, loader: &Loader) -> f64 {
        let logits = |network: &Network, hook: &mut dyn Hook| {
            evaluate(&network.graph, &network.params, loader.epoch(0), hook, |_| {}).unwrap().logits
        };
        let (f, q) = (logits(float, &mut Float), logits(network, &mut quantization.simulated()));
        f.iter().zip(&q).map(|(f, q)| f64::from(f - q).powi(2)).sum::<f64>() / f.len() as f64
    }

    #[test]
    fn correction_brings_the_logits_nearer_to_the_float_networks() {
        let (float, quantization, loader) = setup("W3A3");
        let after = |correction| {
            let mut network = float.clone();
            let reference = Reference::new(&float, loader.epoch(0)).unwrap();
            reference.correct(&mut network, &quantization, correction).unwrap();
            distance(&float, &network, &quantization, &loader)
        };
        let (none, bias, both) =
            (after(Correction::None), after(Correction::Bias), after(Correction::BatchNorm));
        assert!(bias < 0.7 * none && both < 0.7 * none, "none {none}, bias {bias}, batch norm {both}");
    }

    #[test]
    fn at_sixteen_bits_there_is_next_to_nothing_to_correct() {
        let (float, quantization, loader) = setup("W16A16");
        let mut network = float.clone();
        let reference = Reference::new(&float, loader.epoch(0)).unwrap();
        reference.correct(&mut network, &quantization, Correction::BatchNorm).unwrap();
        for (before, after) in float.params.iter().zip(network.params.iter()) {
            for (b, a) in before.value.data().iter().zip(after.value.data()) {
                assert!((a - b).abs() <= 1e-3 * (1.0 + b.abs()), "{}: {b} -> {a}", before.name);
            }
        }
    }

    #[test]
    fn a_moving_average_lies_within_the_largest_value() {
        let (network, quantization, loader) = setup("W4A4");
        let ranges = |rule: &str| {
            calibrate(&network, &quantization.plan, rule.parse().unwrap(), loader.epoch(0)).unwrap()
        };
        let (largest, average) = (ranges("max"), ranges("moving_average"));
        assert_eq!(largest.0.len(), 9, "every layer but the first");
        for (layer, range) in &largest.0 {
            let a = average.0[layer].max;
            assert!(a > 0.0 && a <= range.max, "{layer}: {a}, {}", range.max);
        }
    }

    #[test]
    fn no_images_and_unknown_rules_are_errors() {
        let (network, quantization, _) = setup("W4A4");
        for rule in ["max", "moving_average"] {
            let e = calibrate(&network, &quantization.plan, rule.parse().unwrap(), std::iter::empty());
            assert!(e.unwrap_err().to_string().contains("has seen no activations"));
        }
        assert!("median".parse::<ActivationRule>().unwrap_err().to_string().contains("known: max, mse"));
        for rule in ["max", "mse", "moving_average", "percentile", "sawb"] {
            assert_eq!(rule.parse::<ActivationRule>().unwrap().to_string(), rule);
        }
    }
}
