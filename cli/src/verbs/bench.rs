//! `bench`: how fast this machine trains, classifies and multiplies, and how close that is to its peak, which is
//! measured in the same run.
//!
//! Work is counted as direct convolution, 2 FLOP a multiply-add. Winograd's kernels need fewer, so that classification
//! may exceed 100% of the peak.

mod integer;
mod memory;
mod product;

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, ValueEnum};
use engine::kernel::{Isa, peak_flops};
use engine::optim::{Decay, Schedule, Sgd};
use engine::rng::{Purpose, Rng};
use engine::{Float, Hook, Inference, Shape, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer};
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization, Widths};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::run::algorithm::AlgorithmChoice;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::forecast::counted;

/// Settings of `bench`.
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    /// What to measure
    #[arg(value_enum)]
    what: What,
    /// Images computed at once
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch: u32,
    /// For infer, the integer-only network of these widths [default: the float network]; for qat, the widths of the
    /// fake quantization [default: W8A8]
    #[arg(long, value_name = "WxAy")]
    bits: Option<Widths>,
    /// For infer with --bits: time and speed of every node too
    #[arg(long)]
    layers: bool,
    /// How convolutions are computed, for train and qat
    #[arg(long, value_enum, default_value_t)]
    algorithm: AlgorithmChoice,
    /// Instruction set to use [default: what QUANT_ISA says, else the best]
    #[arg(long, value_name = "NAME")]
    isa: Option<String>,
    /// Shape of the product, for gemm
    #[arg(long, value_name = "M,N,K", default_value = "1024,1024,1024")]
    shape: String,
    /// Numbers of the product, for gemm
    #[arg(long, value_enum, default_value_t = Numbers::Int8)]
    numbers: Numbers,
    /// Repetitions; the median counts
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

/// What to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum What {
    /// A training step of ResNet-20 in floats
    Train,
    /// A training step of ResNet-20 with fake quantization
    Qat,
    /// Classification by ResNet-20 in floats
    Infer,
    /// A matrix product
    Gemm,
}

/// Numbers of a matrix product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Numbers {
    /// f32 x f32 -> f32
    F32,
    /// u8 x s8 -> s32
    Int8,
}

/// Multiply-adds of an image: forward, and with both gradients (the first layer's input needs none).
fn multiply_adds(network: &Network) -> (usize, usize) {
    let layers = network.graph.multiply_adds(32);
    let forward: usize = layers.iter().map(|(_, n)| n).sum();
    (forward, 3 * forward - layers[0].1)
}

/// Measures and prints.
///
/// # Errors
/// If an argument is impossible on this machine.
pub fn run(args: BenchArgs, context: &Context) -> Result<()> {
    let in_integers = args.what == What::Gemm || args.what == What::Infer && args.bits.is_some();
    let refuse = |text: &str| Err(Failure::Usage(text.into()).into());
    if args.layers && !(in_integers && args.what == What::Infer) {
        return refuse("--layers: only `bench infer --bits WxAy` measures nodes");
    }
    if args.bits.is_some() && matches!(args.what, What::Train | What::Gemm) {
        return refuse("--bits: only `bench infer` and `bench qat` quantize");
    }
    let isa = match &args.isa {
        // Training and the float product run on what the machine has.
        Some(_) if !(in_integers && args.numbers == Numbers::Int8) && args.what != What::Infer => {
            return refuse(
                "--isa: only `bench infer` and `bench gemm --numbers int8` run on another instruction set",
            );
        }
        Some(name) if !in_integers => Isa::named("--isa", name).map_err(|e| Failure::Usage(e.to_string()))?,
        _ => Isa::active(),
    };
    match args.what {
        What::Train => train(&args, context, &mut Float, None),
        What::Qat => {
            let widths = args.bits.unwrap_or(Widths { w: 8, a: 8 });
            let config = QuantConfig { bits: widths, ..QuantConfig::default() };
            let graph = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1)?.graph;
            let plan = Policy::Course.plan(&graph, widths);
            let mut hook = FakeQuantHook::new(Quantization::new(config, plan), true);
            train(&args, context, &mut hook, Some(widths))
        }
        What::Infer => match args.bits {
            Some(bits) => integer::infer(&args, context, bits),
            None => infer(&args, context, isa),
        },
        What::Gemm => product::product(&args, context),
    }
}

/// Median seconds of `repeat` calls after one to warm up.
fn median_seconds(repeat: u32, mut f: impl FnMut() -> Result<()>) -> Result<f64> {
    f()?;
    let mut seconds = Vec::new();
    for _ in 0..repeat {
        let start = Instant::now();
        f()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[seconds.len() / 2])
}

/// FLOP/s of all threads at once: cores that share power or caches slow each other down.
fn peak(isa: Isa, threads: usize) -> f64 {
    let one = |_| peak_flops(isa, Duration::from_millis(100));
    (0..threads).into_par_iter().with_max_len(1).map(one).sum()
}

fn normal(shape: impl Into<Shape>) -> Tensor {
    let mut rng = Rng::at(1, Purpose::Test, 0, 0);
    Tensor::from_fn(shape, |_| rng.normal())
}

fn train(args: &BenchArgs, context: &Context, hook: &mut dyn Hook, bits: Option<Widths>) -> Result<()> {
    let n = args.batch as usize;
    let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1)?;
    let mut trainer = Trainer::new(
        network.graph.clone(),
        network.params.clone(),
        Sgd::new(0.9, true, 5e-4, false),
        Schedule { base: 0.01, warmup: 0, total: 1, decay: Decay::Constant },
    )
    .with_smoothing(0.1)
    .with_algorithm(args.algorithm.algorithm());
    let x = normal([n, 32, 32, 3]);
    let labels: Vec<usize> = (0..n).map(|i| i % 10).collect();
    let seconds = median_seconds(args.repeat, || {
        let batch = Batch { number: 0, indices: (0..n).collect(), x: x.clone(), labels: labels.clone() };
        trainer.step(batch, hook)?;
        Ok(())
    })?;
    let work = Work { multiply_adds: multiply_adds(&network).1, images: n, seconds };
    images(context, args.what, (Isa::active(), context.threads), &work, bits)
}

fn infer(args: &BenchArgs, context: &Context, isa: Isa) -> Result<()> {
    let n = args.batch as usize;
    let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1)?;
    let compiled = Inference::compile(&network.graph, &network.params, [32, 32, 3], isa)?;
    let x = normal([n, 32, 32, 3]);
    // A measurement of at least a few milliseconds, also for one image.
    let rounds = (64 / n).max(1);
    let seconds = median_seconds(args.repeat, || {
        for _ in 0..rounds {
            compiled.run(&x)?;
        }
        Ok(())
    })?;
    let work = Work { multiply_adds: multiply_adds(&network).0, images: n * rounds, seconds };
    // One image at a time is one thread's work.
    let threads = if n == 1 { 1 } else { context.threads };
    images(context, args.what, (isa, threads), &work, None)
}

struct Work {
    multiply_adds: usize,
    images: usize,
    seconds: f64,
}

fn images(
    context: &Context,
    what: What,
    (isa, threads): (Isa, usize),
    work: &Work,
    bits: Option<Widths>,
) -> Result<()> {
    let images_per_s = work.images as f64 / work.seconds;
    let flops = images_per_s * 2.0 * work.multiply_adds as f64;
    let peak = peak(isa, threads);
    context.say(format_args!(
        "{images_per_s:.0} images/s, {:.1} GFLOP/s of direct convolution: {:.0}% of {:.1}, the peak of {} \
         with {}",
        flops / 1e9,
        100.0 * flops / peak,
        peak / 1e9,
        counted(threads, "thread"),
        isa.name()
    ))?;
    context.result(&json!({
        "what": what,
        "images_per_s": images_per_s,
        "gflops": flops / 1e9,
        "peak": peak / 1e9,
        "percent_of_peak": 100.0 * flops / peak,
        "isa": isa.name(),
        "threads": threads,
        "bits": bits.map(|b| b.to_string()),
    }))
}
