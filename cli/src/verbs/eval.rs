//! `eval`: the accuracy of a network on a data set, in the arithmetic that its file asks for: a quantized network in
//! integers, any other in floats.

mod integer_only;
mod widths;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use engine::ops::argmax;
use engine::{Float, Hook};
use models::data::cifar10::ImageSet;
use models::data::data_set::Part;
use models::data::loader::Loader;
use models::formats::{Model, Opened, atomic};
use models::{Evaluation, QuantizedNetwork, evaluate};
use quant::FiniteHook;
use quant::Quantization;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::input::InputArgs;
use crate::run::overwrite::expect_no_input;
use crate::run::program;
use crate::run::progress::Progress;
use widths::LayerWidths;

/// Settings of `eval`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct EvalArgs {
    #[command(flatten)]
    #[serde(flatten)]
    input: InputArgs,
    /// Which images
    #[arg(long, value_enum, default_value_t = Split::Test)]
    split: Split,
    /// Only the first N images
    #[arg(long, alias = "test-limit", value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// How to compute [default: integer for a quantized network, float for any other]
    #[arg(long, value_enum)]
    arithmetic: Option<Arithmetic>,
    /// Images computed at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// Write the class that each image is given, a number a line, in the images' order
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
}

/// Training, validation or test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// The images to learn from.
    Train,
    /// Images kept apart from both others, where the data set has such.
    Val,
    /// The images to measure on.
    Test,
}

impl Split {
    /// The images of the data set `given`, else of the one that comes with the program, and the folder they are in. The
    /// test images need no training images beside them.
    ///
    /// # Errors
    /// If they are not there.
    pub fn open(self, context: &Context, given: Option<&Path>) -> Result<(ImageSet, PathBuf)> {
        let part = match self {
            Self::Train => Part::Train,
            Self::Val => Part::Val,
            Self::Test => Part::Test,
        };
        assets::open_images(context, given, part)
    }
}

/// How the layers with weights are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// In floats, as if nothing were quantized.
    Float,
    /// In floats whose values are those of the integers.
    Simulated,
    /// In integers.
    Integer,
}

impl Arithmetic {
    /// The hook that computes so.
    fn hook(self, quantization: Option<&Quantization>, path: &Path) -> Result<Box<dyn Hook>> {
        Ok(match (self, quantization) {
            (Self::Float, _) => Box::new(Float),
            (Self::Simulated, Some(quantization)) => Box::new(quantization.simulated()),
            (Self::Integer, Some(quantization)) => Box::new(quantization.integers()?),
            (_, None) => {
                let text = format!(
                    "{}: holds a float network, which has no integers; make a quantized one with `{1} ptq` or `{1} qat`",
                    path.display(),
                    program::name()
                );
                return Err(Failure::BadInput(text).into());
            }
        })
    }
}

/// Measures and prints.
///
/// # Errors
/// If the network or the data cannot be read.
pub fn run(args: EvalArgs, context: &Context) -> Result<()> {
    if let Some(file) = &args.predictions {
        let read =
            [assets::weights(args.input.weights.as_deref())?, assets::data(args.input.data.as_deref())?];
        expect_no_input("--predictions", file, &read.each_ref().map(PathBuf::as_path))?;
    }
    let (path, Opened { model, metadata, .. }) = assets::open_network(context, &args.input)?;
    let (network, quantization) = match model {
        Model::Integer(graph) => return integer_only::run(&args, context, &path, graph, &metadata),
        Model::Quantized(QuantizedNetwork { network, quantization }) => (network, Some(quantization)),
        Model::Float(network) => (network, None),
    };
    let default = if quantization.is_some() { Arithmetic::Integer } else { Arithmetic::Float };
    let arithmetic = args.arithmetic.unwrap_or(default);
    let mut hook = arithmetic.hook(quantization.as_ref(), &path)?;
    let (set, folder) = args.split.open(context, args.input.data.as_deref())?;
    assets::expect_classes(context, (&path, &network.classes), (&folder, set.classes()))?;
    let images = args.limit.map_or(set.len(), |limit| set.len().min(limit as usize));
    let loader = Loader::evaluation(&set, args.batch as usize, network.normalization)
        .over((0..images).collect::<Vec<_>>());

    // A ReLU makes zero of NaN, so that logits can be finite behind activations that are not.
    if let Some(batch) = loader.epoch(0).next() {
        network.graph.infer(&network.params, batch.x, &mut FiniteHook)?;
    }
    let start = Instant::now();
    let evaluation = {
        let progress = Progress::new(context, "eval", images);
        let batches = loader.prefetch(0, 0, 2);
        evaluate(&network.graph, &network.params, batches, hook.as_mut(), |done| progress.set(done))?
    };
    let seconds = start.elapsed().as_secs_f64();

    let weights_bytes = size(&path)?;
    let config = quantization.as_ref().map(|q| &q.config);
    let widths = quantization.as_ref().map(|q| LayerWidths::of(q, &network.params)).transpose()?;
    let quantized = config.zip(widths.as_ref()).map_or(String::new(), |(c, widths)| {
        let sizes = widths.text(weights_bytes);
        format!(", {} by policy `{}`, weights by `{}` ({sizes})", c.bits, c.policy, c.weight_rule)
    });
    context.say(format_args!(
        "{}: {}{quantized}, normalisation {}",
        path.display(),
        network.label(),
        network.normalization
    ))?;
    let name = arithmetic.to_possible_value().expect("no variant is hidden");
    let how = format!("{} arithmetic", name.get_name());
    say_accuracy(context, &evaluation, &folder, seconds, &how)?;
    per_class(context, &evaluation.logits, &set, images);
    write_predictions(args.predictions.as_deref(), &evaluation)?;
    context.result(&json!({
        "top1": evaluation.top1(),
        "images": images,
        "seconds": seconds,
        "weights_bytes": weights_bytes,
        "weights": path,
        "data": folder,
        "split": args.split,
        "arithmetic": arithmetic,
        "bits": config.map(|c| c.bits),
        "weight_bits": widths.as_ref().map(LayerWidths::object),
        "packed_weights_bytes": widths.as_ref().map(LayerWidths::bytes),
        "policy": config.map(|c| c.policy),
        "method": config.map(|c| c.weight_rule),
        "depth": network.depth,
        "shortcut": network.shortcut.to_string(),
        "normalization": network.normalization.to_string(),
    }))
}

/// The accuracy, and how fast `how` was.
fn say_accuracy(
    context: &Context,
    evaluation: &Evaluation,
    folder: &Path,
    seconds: f64,
    how: &str,
) -> Result<()> {
    let (top1, images) = (evaluation.top1(), evaluation.images);
    context.say(format_args!(
        "top-1 {top1:.2}% of {images} images of {} in {seconds:.1} s ({:.0} images/s, {how})",
        folder.display(),
        images as f64 / seconds,
    ))
}

/// The accuracy of each class, for those who want details.
fn per_class(context: &Context, logits: &[f32], set: &ImageSet, images: usize) {
    let classes = set.classes();
    let mut counts = vec![(0u32, 0u32); classes.len()];
    for (i, row) in logits.chunks_exact(classes.len()).enumerate().take(images) {
        let best = argmax(row);
        let (correct, count) = &mut counts[set.label(i)];
        *correct += u32::from(best == set.label(i));
        *count += 1;
    }
    for (name, (correct, count)) in classes.names().iter().zip(counts) {
        let percent = 100.0 * f64::from(correct) / f64::from(count.max(1));
        context.detail(format_args!("  {name:<12}{percent:6.2}% of {count}"));
    }
}

/// Writes the classes to the file that `--predictions` names, if it does.
fn write_predictions(file: Option<&Path>, evaluation: &Evaluation) -> Result<()> {
    let Some(file) = file else { return Ok(()) };
    let classes = evaluation.answers().map(|class| format!("{class}\n"));
    Ok(atomic::write(file, classes.collect::<String>().as_bytes())?)
}

/// Bytes of a file.
fn size(path: &Path) -> Result<u64> {
    Ok(std::fs::metadata(path).map_err(|e| models::Error::io("open", path, e))?.len())
}
