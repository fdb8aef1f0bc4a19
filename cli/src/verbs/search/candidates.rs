//! The networks that a search looks at: measured as fast as can be while it searches, and made in earnest at the end.

use anyhow::Result;
use engine::{Params, Tensor};
use models::data::cifar10::SIDE;
use models::data::loader::Loader;
use models::{Evaluation, Network, QuantizedNetwork};
use quant::mixed::{Evaluator, Images, LayerSize, Rounding};
use quant::{Effort, LayerBits, Policy, QuantConfig, Quantizer, Step, Widths};

use super::SearchArgs;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::{Setup, correction_bars, in_integers};
use crate::show::objective::Objective;
use crate::show::published::{self, Published};

/// Bits of activations: as good as floats.
const ACTIVATION_BITS: u32 = 16;
/// Bits of the image, the first layer's input: a pixel has no more. An integer-only network takes it so.
const IMAGE_BITS: u32 = 8;
/// Images that activation ranges are calibrated on, when nothing is corrected on them.
const BATCH: usize = 128;

/// Makes and measures candidates.
pub(super) struct Candidates<'a> {
    setup: &'a Setup,
    args: &'a SearchArgs,
    context: &'a Context,
    pub(super) evaluator: Evaluator,
    /// The layers by their bit operations.
    pub(super) operations: Vec<LayerSize>,
}

impl<'a> Candidates<'a> {
    pub(super) fn new(setup: &'a Setup, args: &'a SearchArgs, context: &'a Context) -> Result<Self> {
        let validation = loaded(&every_second(setup, 0, args.images))?;
        let evaluator = evaluator(context, setup, args, &validation)?;
        Ok(Self { setup, args, context, evaluator, operations: operations(&setup.network) })
    }

    /// The layers as the search counts them.
    pub(super) fn sizes(&self) -> &[LayerSize] {
        match self.args.minimize {
            Objective::Bytes => self.evaluator.layers(),
            Objective::BitOperations => &self.operations,
        }
    }

    /// What others have published for such a network.
    pub(super) fn published(&self) -> &'static [Published] {
        published::beside(&self.setup.network)
    }

    /// Accuracy of several candidates on the test images that the search has not seen. What was kept of those that it has seen is
    /// given back before, so that memory is needed once.
    pub(super) fn test(&mut self, bits: &[&Vec<u32>]) -> Result<Vec<f64>> {
        self.evaluator.forget();
        let images = loaded(&every_second(self.setup, 1, usize::MAX))?;
        let mut evaluator = evaluator(self.context, self.setup, self.args, &images)?;
        bits.iter().map(|bits| Ok(evaluator.accuracy(bits)?)).collect()
    }

    /// Whether the corrections do more than the evaluation of a candidate, so that the finished network is another one.
    pub(super) fn are_finished(&self) -> bool {
        let measured = [Step::Balance, Step::Flip, Step::BatchNorm];
        self.args.correction.steps().iter().any(|step| !measured.contains(step))
    }

    /// These bits as `ptq` and `qat` take them. The policy gives the last layer's input fewer bits than the search does, so that
    /// they are said.
    pub(super) fn layer_bits(&self, bits: &[u32]) -> LayerBits {
        let widths = Widths { w: 8, a: ACTIVATION_BITS };
        let policy = Policy::Product.plan(&self.setup.network.graph, widths);
        let layers = self.evaluator.layers().iter().zip(bits).enumerate();
        LayerBits::of(layers.map(|(place, (layer, &w))| {
            let a = input_bits(place);
            let usual = policy.get(&layer.name).is_some_and(|widths| widths.a == a);
            (layer.name.as_str(), w, (!usual && w > 0).then_some(a))
        }))
    }

    /// The flags with which `ptq` makes the network with these bits; `qat` takes them without `--correction` and `--iterations`.
    pub(super) fn as_ptq(&self, bits: &[u32]) -> String {
        let SearchArgs { method, weight_granularity, correction, calibration_images, .. } = self.args;
        let iterations = self.args.iterations.map_or(String::new(), |n| format!(" --iterations {n}"));
        format!(
            "--bits W8A{ACTIVATION_BITS} --policy product --residual-bits {ACTIVATION_BITS} --method {method} \
             --weight-granularity {weight_granularity} --activation-rule {} --calibration-images {calibration_images} \
             --correction {correction}{iterations} --layer-bits {}",
            QuantConfig::default().activation_rule,
            self.layer_bits(bits)
        )
    }

    /// The network with these bits, corrected as was asked for.
    pub(super) fn quantized(&self, bits: &[u32]) -> Result<QuantizedNetwork> {
        let Setup { network, .. } = self.setup;
        let widths = Widths { w: 8, a: ACTIVATION_BITS };
        let config = QuantConfig {
            bits: widths,
            policy: Policy::Product,
            weight_rule: self.args.method,
            weight_granularity: self.args.weight_granularity,
            ..QuantConfig::default()
        };
        let mut plan = config.policy.plan(&network.graph, widths);
        self.layer_bits(bits).apply(&mut plan, ACTIVATION_BITS)?;
        let quantizer = Quantizer::new(config).with_plan(plan).with_residual_bits(ACTIVATION_BITS);
        let images = self.setup.subset(self.context.seed, 0, self.args.calibration_images);
        let batches = || images.epoch(0).map(|batch| batch.x);
        let mut report = correction_bars(self.context);
        let effort = Effort { seed: self.context.seed, iterations: self.args.iterations };
        let float: (_, &Params) = (&network.graph, &network.params);
        let quantized = self.args.correction.quantize(&quantizer, float, batches, effort, &mut report)?;
        Ok(QuantizedNetwork::of(network, quantized))
    }

    /// Accuracy of such a network in integers on the images searched on.
    pub(super) fn in_integers(&self, quantized: &QuantizedNetwork) -> Result<f64> {
        Ok(in_integers(self.context, quantized, &every_second(self.setup, 0, self.args.images))?.top1())
    }
}

/// The layers of `network` by their bit operations.
fn operations(network: &Network) -> Vec<LayerSize> {
    let layers = network.graph.multiply_adds(SIDE).into_iter().enumerate();
    layers
        .map(|(place, (layer, products))| {
            LayerSize::of_operations(layer.to_owned(), products, input_bits(place))
        })
        .collect()
}

/// Bits of the input of the layer at `place`.
fn input_bits(place: usize) -> u32 {
    if place == 0 { IMAGE_BITS } else { ACTIVATION_BITS }
}

/// Every second test image from `first` on, at most `count`.
fn every_second(setup: &Setup, first: usize, count: usize) -> Loader {
    let chosen = setup.test.indices.iter().copied().skip(first).step_by(2).take(count);
    setup.test.clone().over(chosen.collect::<Vec<_>>())
}

/// The accuracy of `answers` to all test images on every second one from `first` on.
pub(super) fn every_second_right(setup: &Setup, answers: &Evaluation, first: usize) -> f64 {
    let images = answers.answers().zip(setup.test.indices.iter());
    let right = images.skip(first).step_by(2).map(|(class, &i)| class == setup.data.test.label(i));
    let (right, images) = right.fold((0, 0), |(right, all), hit| (right + usize::from(hit), all + 1));
    100.0 * right as f64 / f64::from(images.max(1))
}

/// All images of a loader in one tensor.
fn loaded(images: &Loader) -> Result<Images> {
    let mut whole = images.clone();
    whole.batch_size = whole.indices.len().max(1);
    let batch = whole.epoch(0).next();
    let batch = batch.ok_or_else(|| Failure::BadInput("the data set has too few test images".into()))?;
    Ok(Images { x: batch.x, labels: batch.labels })
}

fn evaluator(context: &Context, setup: &Setup, args: &SearchArgs, images: &Images) -> Result<Evaluator> {
    let [balanced, flipped] = [Step::Balance, Step::Flip].map(|step| args.correction.steps().contains(&step));
    let rounding = Rounding { rule: args.method, granularity: args.weight_granularity, balanced, flipped };
    let mut calibration = setup.subset(context.seed, 0, args.calibration_images);
    calibration.batch_size = BATCH;
    let batches: Vec<Tensor> = calibration.epoch(0).map(|batch| batch.x).collect();
    let network = (&setup.network.graph, &setup.network.params);
    Ok(Evaluator::new(network.0, network.1, rounding, batches, images, args.cache_mib << 20)?)
}
