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

mod correct;
mod rules;

use std::collections::BTreeMap;

use engine::{Hook, Incoming, LayerQuant, Node, Operands, Tape, Tensor, Var};
use quant::{CalibrateHook, MovingAverage, Observer, Plan, Ranges};

pub use correct::Reference;
pub use rules::{ActivationRule, Correction};

use crate::loader::Batch;
use crate::{Error, Network, Result};

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

impl AverageHook {
    fn observe(&mut self, node: &Node, x: &Tensor) -> engine::Result<()> {
        self.averages.entry(node.name.clone()).or_default().observe(x.data())
    }
}

impl Hook for AverageHook {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> engine::Result<LayerQuant> {
        self.observe(node, tape.value(operands.x.var))?;
        Ok(operands.into())
    }

    fn edge(&mut self, tape: &mut Tape, node: &Node, x: Incoming) -> engine::Result<Var> {
        self.observe(node, tape.value(x.var))?;
        Ok(x.var)
    }
}

#[cfg(test)]
mod tests {
    use engine::Float;
    use quant::{QuantConfig, ScaleRule};

    use super::*;
    use crate::augment::Normalization;
    use crate::loader::Loader;
    use crate::quantized::Quantization;
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
