//! Everything that is chosen about a post-training quantization, and its steps: calibrate, correct.

use anyhow::Result;
use clap::ValueEnum;
use models::data::augment::Normalization;
use models::data::cifar10::RECORDS_PER_FILE;
use models::data::distilled::{Distilling, distilled_images};
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, QuantizedNetwork};
use quant::rounding::Report;
use quant::{ActivationRule, Effort, Granularity, Policy, QuantConfig, Quantized, Quantizer, Sequence, Step};
use serde::{Deserialize, Serialize};

use super::{Setup, WidthArgs};
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::progress::Progress;

/// Where calibration images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum CalibrationSource {
    /// Training images.
    Images,
    /// Gaussian noise with the spectrum of photographs: no data at all.
    Noise,
    /// Images distilled from the network, which have the statistics its batch norms remember: no data either.
    Distilled,
    /// Distilled images that show parts of one another while they are distilled.
    Mixed,
}

/// Progress of corrections that learn, a bar for each in its turn.
pub fn correction_bars(context: &Context) -> impl FnMut(Step, Report<'_>) + '_ {
    let mut bars: Vec<(Step, Progress)> = Vec::new();
    move |step, report| {
        if bars.last().is_none_or(|(last, _)| *last != step) {
            bars.push((step, Progress::new(context, format!("  {}", step.name()), report.of)));
        }
        if let Some((_, bar)) = bars.last() {
            bar.message(format!("{}, error {:.4}", report.unit, report.error));
            bar.set(report.done);
        }
    }
}

/// A post-training quantization.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// Which bits, and the scale rule of weights.
    pub widths: WidthArgs,
    /// One scale for each tensor, or for each channel.
    pub granularity: Granularity,
    /// How the ranges of activations are chosen.
    pub activation_rule: ActivationRule,
    /// Where the calibration images come from.
    pub source: CalibrationSource,
    /// How many.
    pub images: usize,
    /// What is corrected, in this order.
    pub correction: Sequence,
    /// Updates of each unit in corrections that learn; the method's own number if not given.
    pub iterations: Option<usize>,
}

impl Recipe {
    /// The configuration of hooks.
    pub fn config(&self) -> QuantConfig {
        QuantConfig {
            bits: self.widths.bits,
            policy: self.widths.policy,
            weight_rule: self.widths.method,
            weight_granularity: self.granularity,
            activation_rule: self.activation_rule.scale_rule(),
            ..QuantConfig::default()
        }
    }

    /// Refuses what the integer layers cannot run.
    ///
    /// # Errors
    /// If weights have more than 8 bits, or there are no calibration images, or more synthetic ones than are made at once.
    pub fn check(&self) -> Result<()> {
        if self.widths.bits.w > 8 {
            let text =
                format!("--bits {}: the integer layers take weights of at most 8 bits", self.widths.bits);
            return Err(Failure::Usage(text).into());
        }
        if let Some(bits) = self.widths.layer_bits.as_ref().filter(|bits| bits.most() > 8) {
            let text = format!("--layer-bits {bits}: the integer layers take weights of at most 8 bits");
            return Err(Failure::Usage(text).into());
        }
        if self.widths.residual_bits.is_some() && self.widths.policy != Policy::Product {
            let text = "--residual-bits: only --policy product quantizes the residual stream";
            return Err(Failure::Usage(text.into()).into());
        }
        if self.images == 0 {
            return Err(Failure::Usage("--calibration-images must be at least 1".into()).into());
        }
        if self.source != CalibrationSource::Images && self.images > RECORDS_PER_FILE {
            let text = format!(
                "--calibration-images {}: at most {RECORDS_PER_FILE} images are made up or distilled at once",
                self.images
            );
            return Err(Failure::Usage(text).into());
        }
        Ok(())
    }

    /// Refuses layers that `network` does not have, and bits that they cannot have.
    ///
    /// # Errors
    /// Naming the flag and the layer.
    pub fn check_layers(&self, network: &Network) -> Result<()> {
        let Some(bits) = &self.widths.layer_bits else { return Ok(()) };
        let refuse = |e| Failure::Usage(format!("--layer-bits {bits}: {e}")).into();
        self.quantizer().plan(&network.graph).map(|_| ()).map_err(refuse)
    }

    /// The calibration images of the network `float`.
    ///
    /// # Errors
    /// If more synthetic images are asked for than are made at once, or they cannot be distilled from `float`.
    pub fn calibration(&self, context: &Context, setup: &Setup, float: &Network) -> Result<Loader> {
        match self.source {
            CalibrationSource::Images => Ok(setup.subset(context.seed, 0, self.images)),
            CalibrationSource::Noise => {
                let noise = noise_images(self.images, 6, &Normalization::TRUE, context.seed)?;
                Ok(Loader::evaluation(&noise, setup.test.batch_size, setup.network.normalization))
            }
            CalibrationSource::Distilled | CalibrationSource::Mixed => {
                let mixing = self.source == CalibrationSource::Mixed;
                let how = Distilling { images: self.images, mixing, ..Default::default() };
                let mut bar = None;
                let mut report = |done, of, loss| {
                    let bar = bar.get_or_insert_with(|| Progress::new(context, "  distilling", of));
                    bar.message(format!("loss {loss:.3}"));
                    bar.set(done);
                };
                let images = distilled_images(float, how, context.seed, &mut report)?;
                Ok(Loader::evaluation(&images, setup.test.batch_size, setup.network.normalization))
            }
        }
    }

    /// Quantizes the float network of `setup`.
    ///
    /// # Errors
    /// If the recipe asks for the impossible.
    pub fn quantize(&self, context: &Context, setup: &Setup) -> Result<QuantizedNetwork> {
        self.quantize_network(context, setup, &setup.network)
    }

    /// Quantizes `float` with the images of `setup`.
    ///
    /// # Errors
    /// If the recipe asks for the impossible.
    pub fn quantize_network(
        &self,
        context: &Context,
        setup: &Setup,
        float: &Network,
    ) -> Result<QuantizedNetwork> {
        self.check()?;
        let images = self.calibration(context, setup, float)?;
        self.quantize_on(context, float, &images)
    }

    /// Quantizes `float` with `images`.
    ///
    /// # Errors
    /// If the recipe asks for the impossible.
    pub fn quantize_on(
        &self,
        context: &Context,
        float: &Network,
        images: &Loader,
    ) -> Result<QuantizedNetwork> {
        self.check()?;
        context.detail(format_args!("  calibrating on {} images", images.images()));
        let batches = || images.epoch(0).map(|batch| batch.x);
        let quantizer = self.quantizer();
        context.detail(format_args!("  correcting: {}", self.correction));
        let mut report = correction_bars(context);
        let network = (&float.graph, &float.params);
        let effort = Effort { seed: context.seed, iterations: self.iterations };
        let quantized = self.correction.quantize(&quantizer, network, batches, effort, &mut report)?;
        Ok(QuantizedNetwork::of(float, quantized))
    }

    /// Takes `start`, which is quantized already, to this recipe's widths and rules, without corrections.
    ///
    /// # Errors
    /// If the recipe asks for the impossible.
    pub fn continue_from(
        &self,
        context: &Context,
        setup: &Setup,
        start: QuantizedNetwork,
    ) -> Result<QuantizedNetwork> {
        self.check()?;
        let images = setup.subset(context.seed, 0, self.images);
        let QuantizedNetwork { network, quantization } = start;
        let before = Quantized { graph: network.graph.clone(), params: network.params.clone(), quantization };
        let continued = self.quantizer().continue_from(&before, images.epoch(0).map(|batch| batch.x))?;
        Ok(QuantizedNetwork::of(&network, continued))
    }

    /// What is chosen before anything is measured.
    pub fn quantizer(&self) -> Quantizer {
        let quantizer = Quantizer::new(self.config()).with_activation_rule(self.activation_rule);
        let quantizer = match self.widths.residual_bits {
            Some(bits) => quantizer.with_residual_bits(bits),
            None => quantizer,
        };
        match &self.widths.layer_bits {
            Some(bits) => quantizer.with_layer_bits(bits.clone()),
            None => quantizer,
        }
    }
}
