//! Which layer hurts: what rounding one layer alone does, all else in floats.
//!
//! The network that is asked is the *float* one of the run, and the layer is rounded by the run's rules, without training and
//! without learned corrections; the batch norm behind it takes back what that did to its statistics ([`Reference`]). The
//! quantized network's own parameters would not do: its batch norms, and its weights where they were learned, are made
//! for rounded layers, and what they compute in floats is no network that anybody uses.

use anyhow::Result;
use engine::{Float, Hook, Params, Tensor};
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::{Evaluation, Network, evaluate};
use quant::numbers::analysis::error_report;
use quant::{Correction, Quantization, Quantizer, Reference};

use crate::run::context::Context;
use crate::run::progress::Progress;

/// What one layer does, alone.
#[derive(Clone, Debug)]
pub struct Sensitivity {
    /// Its name.
    pub layer: String,
    /// Signal to quantization noise of what it sees, dB.
    pub input_db: f64,
    /// `10 log10(sum y^2 / sum (y_hat - y)^2)` over the logits `y` of the float network, `y_hat` with this layer's weights and
    /// input rounded, dB.
    pub logits_db: f64,
    /// Images whose class changes, percent.
    pub changed: f64,
}

/// Each layer that `of` quantizes, alone in the network `float`, on the first `images` training images, which calibrate it too.
/// `inputs` are samples of what each layer of the float network sees.
///
/// # Errors
/// If the network cannot be simulated.
pub fn sensitivities(
    context: &Context,
    float: &Network,
    of: &Quantization,
    (data, images): (&DataSet, usize),
    inputs: &[(String, Tensor)],
) -> Result<Vec<Sensitivity>> {
    let images: Vec<usize> = (0..images.min(data.train.len())).collect();
    let loader = Loader::evaluation(&data.train, 64, float.normalization).over(images);
    let batches = || loader.epoch(0).map(|batch| batch.x);
    let Network { graph, params, .. } = float;
    let measure = |params: &Params, hook: &mut dyn Hook| -> Result<Evaluation> {
        Ok(evaluate(graph, params, loader.epoch(0), hook, |_| ())?)
    };
    let quantizer = Quantizer::new(of.config.clone()).with_plan(of.plan.clone());
    let whole = quantizer.calibrate(graph, params, batches())?.quantization;
    let reference = Reference::new(graph, params, batches())?;
    let before = measure(params, &mut Float)?;
    let layers: Vec<_> = whole.plan.layers().iter().filter_map(|(name, w)| Some((name, (*w)?))).collect();
    let progress = Progress::new(context, "  layers", layers.len());
    let mut all = Vec::with_capacity(layers.len());
    for (i, (layer, widths)) in layers.into_iter().enumerate() {
        let alone = Quantization { plan: whole.plan.only(Some(layer)), ..whole.clone() };
        let params = reference.correct(&alone, Correction::BatchNorm)?;
        let after = measure(&params, &mut alone.simulated())?;
        let input = inputs.iter().find(|(name, _)| name == layer);
        let q = whole.ranges.params(layer, widths.a)?;
        all.push(Sensitivity {
            layer: layer.clone(),
            input_db: input.map_or(Ok(f64::NAN), |(_, x)| error_report(x, &q).map(|e| e.sqnr_db))?,
            logits_db: signal_to_noise(&before.logits, &after.logits),
            changed: 100.0 - before.agreement(&after),
        });
        progress.set(i + 1);
    }
    Ok(all)
}

fn signal_to_noise(y: &[f32], y_hat: &[f32]) -> f64 {
    let square = |v: f32| f64::from(v).powi(2);
    let signal: f64 = y.iter().map(|v| square(*v)).sum();
    let noise: f64 = y.iter().zip(y_hat).map(|(a, b)| square(a - b)).sum();
    10.0 * (signal / noise).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_a_tenth_as_large_as_the_signal_is_20_db() {
        assert!((signal_to_noise(&[1.0, -2.0], &[1.1, -2.2]) - 20.0).abs() < 1e-5);
        assert_eq!(signal_to_noise(&[1.0], &[1.0]), f64::INFINITY);
    }
}
