//! Chapters 5 and 7: a network of the reader's own, trained in floats, quantized to 4 bits, corrected, fine-tuned under
//! fake quantization, and run without a float between image and logits.
//!
//! `cargo run -p quant --example 5_a_network_of_your_own`

use engine::optim::Sgd;
use engine::rng::{Purpose, Rng};
use engine::{Float, Graph, Layer, Tape, Tensor, ops};
use quant::int_graph::IntEngine;
use quant::{Correction, Policy, QuantConfig, Quantizer, Result};

/// Bright pictures of 8 x 8 pixels are class 1.
fn picture(rng: &mut Rng) -> (Vec<u8>, usize) {
    let class = (rng.next_u32() & 1) as usize;
    ((0..192).map(|_| 60 + 40 * class as u8 + (rng.next_u32() & 63) as u8).collect(), class)
}

fn pixel(_channel: usize, p: u8) -> f32 {
    f32::from(p) / 128.0 - 1.0
}

fn main() -> Result<()> {
    let mut graph = Graph::default();
    let x = graph.add("x", Layer::Input, &[]);
    let conv = graph.add("conv", Layer::Conv2d { c: 3, o: 8, kernel: 3, stride: 1, padding: 1 }, &[x]);
    let norm = graph.add("norm", Layer::BatchNorm { c: 8 }, &[conv]);
    let relu = graph.add("relu", Layer::Relu, &[norm]);
    let pool = graph.add("pool", Layer::GlobalAvgPool, &[relu]);
    graph.add("fc", Layer::Linear { i: 8, o: 2 }, &[pool]);

    let mut rng = Rng::at(1, Purpose::Test, 0, 0);
    let mut batch = |size: usize| {
        let (pixels, labels): (Vec<_>, Vec<_>) = (0..size).map(|_| picture(&mut rng)).unzip();
        let pixels = pixels.concat();
        (Tensor::from_fn([size, 8, 8, 3], |i| pixel(i % 3, pixels[i])), labels, pixels)
    };
    let (mut params, mut sgd) = (graph.init(1)?, Sgd::new(0.9, true, 1e-4, false));
    for _ in 0..60 {
        let (x, labels, _) = batch(16);
        let mut tape = Tape::new();
        let forward = graph.forward_train(&mut params, &mut tape, x, &mut Float)?;
        let loss = ops::cross_entropy(&mut tape, forward.output, &labels, 0.0)?;
        tape.backward(loss, Tensor::scalar(1.0))?;
        let grads: Vec<_> = forward.params.iter().map(|var| var.and_then(|var| tape.grad(var))).collect();
        sgd.step(&mut params, &grads, 0.05)?;
    }

    let config = QuantConfig { bits: "W4A4".parse()?, policy: Policy::Product, ..QuantConfig::default() };
    let (images, _, _) = batch(64);
    let mut network = Quantizer::new(config).calibrate(&graph, &params, [images.clone()].into_iter())?;
    network.correct([images].into_iter(), Correction::BatchNorm)?;
    let batches: Vec<_> = (0..20).map(|_| batch(16)).map(|(x, labels, _)| (x, labels)).collect();
    network.train(batches.into_iter(), Sgd::new(0.9, true, 1e-4, false), 0.005)?;
    let engine = IntEngine::new(network.lower([8, 8, 3], &pixel)?)?;

    let (_, labels, pixels) = batch(200);
    let logits = engine.run(&pixels)?;
    let right = logits.chunks(2).zip(&labels).filter(|(row, label)| usize::from(row[1] > row[0]) == **label);
    let right = right.count();
    println!("{right} of 200 pictures right, in integers of 4 bits");
    assert!(right >= 190);
    Ok(())
}
