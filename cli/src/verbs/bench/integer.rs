//! `bench infer --bits`: the integer-only network. Its ranges come from images of noise: for speed they are as good as
//! any.

use std::time::{Duration, Instant};

use anyhow::Result;
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, QuantizedNetwork, Shortcut};
use quant::int_graph::IntEngine;
use quant::kernel::{self, MicroKernel, peak_ops};
use quant::{Policy, QuantConfig, Quantizer, Widths};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use super::{BenchArgs, median_seconds};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::forecast::counted;
use crate::show::text_table::text_table;

/// The kernel of an instruction set, by default the one in use.
pub fn kernel(isa: Option<&str>) -> Result<&'static MicroKernel> {
    match isa {
        Some(name) => kernel::named("--isa", name).map_err(|e| Failure::Usage(e.to_string()).into()),
        None => Ok(kernel::active()),
    }
}

/// Operations per second of all threads at once.
pub fn peak(kernel: &'static MicroKernel, threads: usize) -> f64 {
    let one = |_| peak_ops(kernel, Duration::from_millis(100));
    (0..threads).into_par_iter().with_max_len(1).map(one).sum()
}

/// The network, by policy `product`.
fn network(context: &Context, bits: Widths) -> Result<QuantizedNetwork> {
    if bits.w > 8 {
        return Err(Failure::Usage(format!("--bits {bits}: integers take weights of at most 8 bits")).into());
    }
    let network = match assets::load_network(context, None, None, None) {
        Ok((_, network)) => network,
        Err(_) => Network::fresh(20, Shortcut::B, Normalization::TRUE, 1)?,
    };
    let images =
        Loader::evaluation(&noise_images(16, 6, &Normalization::TRUE, 1)?, 16, network.normalization);
    let config = QuantConfig { bits, policy: Policy::Product, ..QuantConfig::default() };
    Ok(QuantizedNetwork::calibrate(&network, &Quantizer::new(config), images.epoch(0))?)
}

/// Measures and prints.
///
/// # Errors
/// If the instruction set or the widths are impossible here.
pub fn infer(args: &BenchArgs, context: &Context, bits: Widths) -> Result<()> {
    let isa = kernel(args.isa.as_deref())?.isa;
    let engine = IntEngine::for_isa(network(context, bits)?.lower()?, isa)?;
    let n = args.batch as usize;
    // One image at a time is one thread's work.
    let threads = if n == 1 { 1 } else { context.threads };
    let images: Vec<u8> =
        (0..n * 3072).map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let seconds = if n == 1 {
        let (mut workspace, mut logits) = (engine.workspace(), vec![0; engine.graph().logit_scale().len()]);
        // As many images to a sample as the others take.
        let seconds = median_seconds(args.repeat.max(101), || {
            (0..64).for_each(|_| engine.classify(&mut workspace, &images, &mut logits));
            Ok(())
        })?;
        seconds / 64.0
    } else {
        let rounds = (64 / n).max(1);
        let all = || (0..rounds).try_for_each(|_| engine.run(&images).map(drop));
        median_seconds(args.repeat, || Ok(all()?))? / rounds as f64
    };
    // Most of the work is done by the layers between the first and the last.
    let kernel = kernel::of_isa(isa, 1 << (bits.w - 1));
    let peak = peak(kernel, threads);
    let work = engine.graph().multiply_adds();
    let images_per_s = n as f64 / seconds;
    let ops = images_per_s * 2.0 * work.iter().sum::<usize>() as f64;
    let microseconds = (n == 1).then_some(1e6 * seconds);
    let latency = microseconds.map_or(String::new(), |us| format!(" ({us:.0} us each)"));
    let percent = 100.0 * ops / peak;
    context.say(format_args!(
        "{bits}, integers only: {images_per_s:.0} images/s{latency}, {:.1} GOP/s: {percent:.0}% of {:.1}, the peak of \
         {} with {}",
        ops / 1e9,
        peak / 1e9,
        counted(threads, "thread"),
        kernel.name
    ))?;
    let layers =
        if args.layers { Some(layers(&engine, &images[..3072], &work, peak / threads as f64)) } else { None };
    if let Some(layers) = &layers {
        context.say(text_table(
            &["node", "op", "us", "% of time", "GOP/s", "% of peak"],
            2,
            &layers.iter().map(NodeTime::row).collect::<Vec<_>>(),
        ))?;
    }
    context.result(&json!({
        "what": args.what,
        "images_per_s": images_per_s,
        "microseconds": microseconds,
        "gops": ops / 1e9,
        "peak": peak / 1e9,
        "percent_of_peak": percent,
        "isa": isa,
        "kernel": kernel.name,
        "threads": threads,
        "batch": n,
        "bits": bits,
        "layers": layers,
    }))
}

/// The cost of a node.
#[derive(Serialize)]
struct NodeTime {
    name: String,
    op: &'static str,
    microseconds: f64,
    percent_of_time: f64,
    gops: f64,
    percent_of_peak: f64,
}

impl NodeTime {
    fn row(&self) -> Vec<String> {
        vec![
            self.name.clone(),
            self.op.into(),
            format!("{:.2}", self.microseconds),
            format!("{:.1}", self.percent_of_time),
            format!("{:.0}", self.gops),
            format!("{:.0}", self.percent_of_peak),
        ]
    }
}

/// The median time of each node, one image after the other on one thread.
fn layers(engine: &IntEngine, image: &[u8], work: &[usize], peak: f64) -> Vec<NodeTime> {
    const IMAGES: usize = 301;
    let nodes = engine.graph().nodes();
    // The node that makes each value; a node with two is charged up to the first.
    let mut maker = vec![0; engine.graph().values().len()];
    for (id, node) in nodes.iter().enumerate() {
        node.op.outputs().for_each(|y| maker[y] = id);
    }
    let (mut workspace, mut logits) = (engine.workspace(), vec![0; engine.graph().logit_scale().len()]);
    let mut times = vec![Vec::with_capacity(IMAGES); nodes.len()];
    for _ in 0..IMAGES {
        let (mut last, mut spent) = (Instant::now(), vec![0.0; nodes.len()]);
        engine.classify_with(&mut workspace, image, &mut logits, |value, _| {
            spent[maker[value]] += last.elapsed().as_secs_f64();
            last = Instant::now();
        });
        spent[nodes.len() - 1] += last.elapsed().as_secs_f64();
        times.iter_mut().zip(spent).for_each(|(times, t)| times.push(t));
    }
    let median = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let medians: Vec<f64> = times.iter_mut().map(median).collect();
    let total: f64 = medians.iter().sum();
    let node = |(i, seconds): (usize, &f64)| {
        let ops = 2.0 * work[i] as f64 / seconds.max(1e-9);
        NodeTime {
            name: nodes[i].name.clone(),
            op: nodes[i].op.kind(),
            microseconds: 1e6 * seconds,
            percent_of_time: 100.0 * seconds / total,
            gops: ops / 1e9,
            percent_of_peak: 100.0 * ops / peak,
        }
    };
    medians.iter().enumerate().map(node).collect()
}
