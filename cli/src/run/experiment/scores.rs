//! One quantized network, simulated in floats and computed in integers, on the same images.
//!
//! The integers are what the model file computes: without a float in between where nothing stays float, else layer by
//! layer.

use std::fmt;

use anyhow::Result;
use models::data::loader::Loader;
use models::{Evaluation, QuantizedNetwork, formats::int_model};
use quant::int_graph::IntEngine;
use serde::Serialize;

use super::setup::measure;
use crate::run::context::Context;
use crate::run::progress::Progress;

/// Percentages, and how far the two are apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Scores {
    /// Accuracy of the integers.
    pub top1_int: f64,
    /// Accuracy of integer layers with floats between them; the same, where a layer stays float.
    pub top1_layers: f64,
    /// Accuracy of their simulation in floats.
    pub top1_simulated: f64,
    /// Images that both give the same class.
    pub agreement: f64,
    /// Largest distance of two logits.
    pub max_logit_difference: f64,
    /// Largest logit of the simulation: what the distance is to be compared with.
    pub max_logit: f64,
    /// Accuracy as training computes: restored numbers, every partial sum rounded.
    pub top1_as_trained: f64,
    /// Images that the integers and that computation give the same class.
    pub agreement_as_trained: f64,
    /// Images measured.
    pub images: usize,
}

impl Scores {
    /// Runs the network both ways.
    ///
    /// # Errors
    /// If the integer layers cannot run it.
    pub fn measure(context: &Context, quantized: &QuantizedNetwork, images: &Loader) -> Result<Self> {
        Ok(Self::with_answers(context, quantized, images)?.0)
    }

    /// The same, and what the integers answered.
    ///
    /// # Errors
    /// As [`measure`](Self::measure).
    pub fn with_answers(
        context: &Context,
        quantized: &QuantizedNetwork,
        images: &Loader,
    ) -> Result<(Self, Evaluation)> {
        let QuantizedNetwork { network, quantization } = quantized;
        let layers = measure(context, "integer layers", network, images, &mut quantization.integers()?)?;
        let top1_layers = layers.top1();
        let integer =
            if quantized.is_integer_only() { in_integers(context, quantized, images)? } else { layers };
        let simulated = measure(context, "simulated", network, images, &mut quantization.simulated())?;
        let trained = measure(context, "as trained", network, images, &mut quantization.as_trained())?;
        let distance = |(a, b): (&f32, &f32)| f64::from((a - b).abs());
        let scores = Self {
            top1_int: integer.top1(),
            top1_layers,
            top1_simulated: simulated.top1(),
            agreement: integer.agreement(&simulated),
            max_logit_difference: integer
                .logits
                .iter()
                .zip(&simulated.logits)
                .map(distance)
                .fold(0.0, f64::max),
            max_logit: simulated.logits.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max),
            top1_as_trained: trained.top1(),
            agreement_as_trained: integer.agreement(&trained),
            images: integer.images,
        };
        Ok((scores, integer))
    }
}

/// Evaluates the network as its file will be: without a float between image and logits, or, where a layer stays
/// float, layer by layer.
///
/// # Errors
/// If the integers cannot run it.
pub fn in_integers(context: &Context, quantized: &QuantizedNetwork, images: &Loader) -> Result<Evaluation> {
    if !quantized.is_integer_only() {
        let mut hook = quantized.quantization.integers()?;
        return measure(context, "integers", &quantized.network, images, &mut hook);
    }
    let engine = IntEngine::new(quantized.lower()?)?;
    let progress = Progress::new(context, "  integers", images.images());
    Ok(int_model::evaluate(&engine, images, |done| progress.set(done))?)
}

impl fmt::Display for Scores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { agreement, images, max_logit_difference, max_logit, agreement_as_trained, .. } = self;
        write!(
            f,
            "same class in integers and simulated: {agreement:.2}% of {images} images, logits at most \
             {max_logit_difference:.1e} apart (the largest is {max_logit:.1}); with training's rounded sums \
             {agreement_as_trained:.2}%"
        )
    }
}
