//! Which layer hurts: what quantizing one layer alone does to the logits.

use anyhow::Result;
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::{Evaluation, QuantizedNetwork, evaluate};
use quant::Quantization;

use crate::run::context::Context;
use crate::run::progress::Progress;

/// What one layer does.
pub struct Sensitivity {
    /// Its name.
    pub layer: String,
    /// `10 log10(sum y^2 / sum (y_hat - y)^2)` over the logits `y` with all layers in floats, `y_hat` with this one
    /// quantized, dB.
    pub logits_db: f64,
    /// Images whose class changes, percent.
    pub changed: f64,
}

/// Each quantized layer alone, on the first `images` training images. Both its weights and its input are quantized;
/// residual sums are as they are in the whole network, before and after.
///
/// # Errors
/// If the network cannot be simulated.
pub fn sensitivities(
    context: &Context,
    quantized: &QuantizedNetwork,
    data: &DataSet,
    images: usize,
) -> Result<Vec<Sensitivity>> {
    let QuantizedNetwork { network, quantization } = quantized;
    let images: Vec<usize> = (0..images.min(data.train.len())).collect();
    let loader = Loader::evaluation(&data.train, 64, network.normalization).over(images);
    let measure = |only: Option<&str>| -> Result<Evaluation> {
        let mut hook = alone(quantization, only)?.simulated();
        Ok(evaluate(&network.graph, &network.params, loader.epoch(0), &mut hook, |_| ())?)
    };
    let float = measure(None)?;
    let layers: Vec<&String> = quantization
        .plan
        .layers()
        .iter()
        .filter(|(_, widths)| widths.is_some())
        .map(|(name, _)| name)
        .collect();
    let progress = Progress::new(context, "  layers", layers.len());
    let mut all = Vec::with_capacity(layers.len());
    for (i, layer) in layers.into_iter().enumerate() {
        let after = measure(Some(layer))?;
        let logits_db = signal_to_noise(&float.logits, &after.logits);
        all.push(Sensitivity { layer: layer.clone(), logits_db, changed: 100.0 - float.agreement(&after) });
        progress.set(i + 1);
    }
    Ok(all)
}

/// The quantization with `only` this layer quantized.
fn alone(quantization: &Quantization, only: Option<&str>) -> Result<Quantization> {
    let mut alone = quantization.clone();
    for (layer, _) in quantization.plan.layers().iter().filter(|(name, _)| Some(name.as_str()) != only) {
        alone.plan.set(layer, None)?;
    }
    Ok(alone)
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
