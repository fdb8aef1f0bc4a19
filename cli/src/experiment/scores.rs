//! One quantized network, simulated in floats and computed in integers, on the same images.

use anyhow::Result;
use models::QuantizedNetwork;
use models::loader::Loader;
use serde::Serialize;

use super::setup::measure;
use crate::context::Context;

/// Percentages, and how far the two are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Accuracy of the integer layers.
    pub top1_int: f64,
    /// Accuracy of their simulation in floats.
    pub top1_simulated: f64,
    /// Images that both give the same class.
    pub agreement: f64,
    /// Largest distance of two logits.
    pub max_logit_difference: f64,
    /// Largest logit of the simulation: what the distance is to be compared with.
    pub max_logit: f64,
    /// Images measured.
    pub images: usize,
}

impl Scores {
    /// Runs the network both ways.
    ///
    /// # Errors
    /// If the integer layers cannot run it.
    pub fn measure(context: &Context, quantized: &QuantizedNetwork, images: &Loader) -> Result<Self> {
        let QuantizedNetwork { network, quantization } = quantized;
        let integer = measure(context, "integers", network, images, &mut quantization.integers()?)?;
        let simulated = measure(context, "simulated", network, images, &mut quantization.simulated())?;
        let distance = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
        Ok(Self {
            top1_int: integer.top1(),
            top1_simulated: simulated.top1(),
            agreement: integer.agreement(&simulated),
            max_logit_difference: integer
                .logits
                .iter()
                .zip(&simulated.logits)
                .map(distance)
                .fold(0.0, f64::max),
            max_logit: simulated.logits.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max),
            images: integer.images,
        })
    }
}
