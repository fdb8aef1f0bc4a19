//! How fast the pieces of an experiment go here: each is done in small and timed, for `--dry-run`.

use anyhow::Result;
use models::data::loader::Loader;
use models::{Network, QuantizedNetwork};
use quant::Sequence;

use super::Training;
use super::aware::{reestimated, step_seconds};
use super::setup::{BATCH, measure};
use super::{CalibrationSource, Recipe, Scores, Setup, in_integers, inputs};
use crate::run::context::Context;
use crate::run::forecast::{Forecast, counted, timed};

/// Images that stand for all where only time counts.
pub const SMALL: usize = BATCH;
/// Updates of each unit that stand for all, in corrections that learn.
const UPDATES: usize = 5;
/// Images with which the page looks at each layer.
const PAGE_IMAGES: usize = 128;
/// Bytes of the largest activation of an image: 32 x 32 pixels, 16 channels, as floats. A correction that learns keeps up
/// to five such for every image and view of it.
const ACTIVATION: usize = 5 * 4 * 16 * 32 * 32;

/// What a forecast says of where its times come from.
pub const BASIS: &str = "the same work on a few images, just done here";

/// Measures the pieces of an experiment that begins with `setup`.
pub struct Pace<'a> {
    context: Context,
    setup: &'a Setup,
    small: Loader,
}

impl<'a> Pace<'a> {
    pub fn new(context: &Context, setup: &'a Setup) -> Self {
        let few = few(setup.test.images());
        let few = setup.test.indices.iter().copied().take(few).collect::<Vec<_>>();
        Self { context: context.quietly(), setup, small: setup.test.clone().over(few) }
    }

    /// Seconds that all test images take where the small part of them takes `seconds`.
    fn of_all(&self, seconds: f64) -> f64 {
        self.of(self.setup.test.images(), seconds)
    }

    /// Seconds that so many images take.
    fn of(&self, images: usize, seconds: f64) -> f64 {
        seconds * images as f64 / self.small.images() as f64
    }

    /// Adds the float network's accuracy.
    ///
    /// # Errors
    /// If it cannot be measured.
    pub fn float(&self, forecast: &mut Forecast) -> Result<()> {
        let measure = || self.setup.float_on(&self.context, &self.small);
        measure()?; // the first use of anything is slow
        let (_, seconds) = timed(measure)?;
        let images = self.setup.test.images();
        forecast.stage(format!("accuracy of the float network on {images} images"), self.of_all(seconds));
        Ok(())
    }

    /// Adds a quantization by `recipe`, and gives what a short form of it makes.
    ///
    /// # Errors
    /// If the recipe asks for the impossible.
    pub fn quantization(&self, forecast: &mut Forecast, recipe: &Recipe) -> Result<QuantizedNetwork> {
        let make = |images, iterations| {
            Recipe { images, iterations, ..recipe.clone() }.quantize(&self.context, self.setup)
        };
        let images = match recipe.source {
            CalibrationSource::Images => recipe.images.min(self.setup.train.len()), // there are no more
            _ => recipe.images,
        };
        let whole = (&recipe.correction, images, recipe.iterations);
        let (quantized, seconds) = corrected(forecast, whole, make)?;
        let what =
            format!("{}: calibrate on {images} images, correct: {}", recipe.widths.bits, recipe.correction);
        forecast.stage(what, seconds);
        Ok(quantized)
    }

    /// Adds the measurement of a quantized network, in integers and simulated, and the files it is saved in.
    ///
    /// # Errors
    /// If the integer layers cannot run it.
    pub fn scores(&self, forecast: &mut Forecast, quantized: &QuantizedNetwork) -> Result<()> {
        self.accuracy(forecast, quantized)?;
        Self::saved(forecast, quantized)
    }

    /// Adds the measurement alone.
    ///
    /// # Errors
    /// If the integer layers cannot run it.
    pub fn accuracy(&self, forecast: &mut Forecast, quantized: &QuantizedNetwork) -> Result<()> {
        let (_, seconds) = timed(|| Scores::measure(&self.context, quantized, &self.small))?;
        let what = format!("accuracy in integers and simulated on {} images", self.setup.test.images());
        forecast.stage(what, self.of_all(seconds));
        Ok(())
    }

    /// Adds the measurement in integers alone, of so many images so often.
    ///
    /// # Errors
    /// If the integer layers cannot run it.
    pub fn integers(
        &self,
        forecast: &mut Forecast,
        quantized: &QuantizedNetwork,
        (images, times): (usize, f64),
    ) -> Result<()> {
        let (_, seconds) = timed(|| in_integers(&self.context, quantized, &self.small))?;
        forecast.stage(format!("in integers on {images} images"), self.of(images, seconds) * times);
        Ok(())
    }

    /// Adds the files of a quantized network.
    ///
    /// # Errors
    /// If a weight cannot be quantized.
    pub fn saved(forecast: &mut Forecast, quantized: &QuantizedNetwork) -> Result<()> {
        let latent = float_bytes(&quantized.network);
        forecast.file("model and its float weights", quantized.model_bytes(&[])?.len() + latent);
        Ok(())
    }

    /// Adds the training of `start`.
    ///
    /// # Errors
    /// If a step fails.
    pub fn training(
        &self,
        forecast: &mut Forecast,
        start: &QuantizedNetwork,
        training: &Training,
    ) -> Result<()> {
        let (step, steps, learner) = step_seconds(&self.context, self.setup, start, training)?;
        let (epochs, all) = (training.epochs, training.epochs * steps);
        let what = format!(
            "train {} of {} of {}",
            counted(epochs, "epoch"),
            counted(steps, "step"),
            counted(training.batch, "image")
        );
        forecast.stage(what, step * all as f64);
        let (_, seconds) = timed(|| in_integers(&self.context, start, &self.small))?;
        let what = format!("accuracy in integers after each of {}", counted(epochs, "epoch"));
        drop(learner);
        forecast.stage(what, self.of(self.setup.choosing().images(), seconds) * epochs as f64);
        if let Some(few) = few_batches(training) {
            let seed = self.context.seed;
            let (_, seconds) = timed(|| reestimated(self.setup, start, few, training.batch, seed))?;
            let images = training.reestimate_images.min(self.setup.train.len()); // each at most once
            let what = format!("batch norms from {images} images after each of {}", counted(epochs, "epoch"));
            forecast.stage(what, seconds * images as f64 / few as f64 * epochs as f64);
        }
        // Weights, velocities and perhaps their average; and the last epoch's network beside the best one's.
        let copies = if training.ema > 0.0 { 3 } else { 2 };
        forecast.file("state to resume from", copies * float_bytes(&start.network));
        Self::saved(forecast, start)
    }

    /// Adds the page's look at each layer: at what it sees, in floats and quantized, and at the network with it alone
    /// quantized.
    ///
    /// # Errors
    /// If the network cannot be simulated.
    pub fn page(&self, forecast: &mut Forecast, quantized: &QuantizedNetwork) -> Result<()> {
        let QuantizedNetwork { network, quantization } = quantized;
        let images = (Some(self.setup.data.folder.as_path()), PAGE_IMAGES);
        let seen = || -> Result<_> {
            let float = inputs(&self.context, images, (&self.setup.weights, &self.setup.network), None)?;
            Ok([
                float,
                inputs(
                    &self.context,
                    images,
                    (&self.setup.weights, network),
                    Some(quantization.simulated()),
                )?,
            ])
        };
        let (_seen, looked) = timed(seen)?; // held while layers are measured, as the page does
        let mut hook = quantization.simulated();
        let (_, seconds) = timed(|| measure(&self.context, "", network, &self.small, &mut hook))?;
        let layers = network.graph.weighted().count();
        let seconds = looked + seconds * (PAGE_IMAGES * layers) as f64 / self.small.images() as f64;
        forecast.stage(format!("report: {layers} layers, each alone, on {PAGE_IMAGES} images"), seconds);
        Ok(())
    }
}

/// As many images as stand for those that batch norms are re-estimated on, in whole batches; none if they are not.
fn few_batches(training: &Training) -> Option<usize> {
    let few = SMALL.next_multiple_of(training.batch);
    (training.reestimate_images > 0).then(|| few.min(training.reestimate_images))
}

/// As many of `images` as stand for all: a whole batch, and the last one, which is shorter. Buffers of every length are kept for
/// the next tensor of that length, so that these two take the memory of all.
pub fn few(images: usize) -> usize {
    if images <= BATCH { images } else { BATCH + images % BATCH }
}

/// What `make(images, iterations)` gives of few of both, and the seconds that all images and iterations of the
/// `correction` take.
///
/// # Errors
/// Those of `make`.
pub fn corrected(
    forecast: &mut Forecast,
    (correction, images, iterations): (&Sequence, usize, Option<usize>),
    make: impl Fn(usize, Option<usize>) -> Result<QuantizedNetwork>,
) -> Result<(QuantizedNetwork, f64)> {
    let few = few(images);
    let methods: Vec<_> = correction.steps().iter().filter_map(|step| step.method()).collect();
    let (quantized, once) = timed(|| make(few, (!methods.is_empty()).then_some(1)))?;
    let mut seconds = once * images as f64 / few as f64;
    if let Some(most) = methods.iter().map(|method| method.iterations).max() {
        let iterations = iterations.unwrap_or(most);
        let (_, several) = timed(|| make(few, Some(1 + UPDATES)))?;
        seconds += (several - once).max(0.0) / UPDATES as f64 * iterations.saturating_sub(1) as f64;
        let views = methods.iter().map(|method| method.views).max().unwrap_or(1);
        forecast.memory((images - few) * views * ACTIVATION);
    }
    Ok((quantized, seconds))
}

/// Bytes of a network in floats.
pub fn float_bytes(network: &Network) -> usize {
    network.params.iter().map(|param| 4 * param.value.len()).sum()
}
