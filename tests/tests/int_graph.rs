//! The integer-only network: the fast engine against the reference interpreter of the specification, code by code, and
//! both against the float simulation.

use std::collections::BTreeMap;

use engine::rng::{Purpose, Rng};
use engine::{Graph, Layer, Role, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, QuantizedNetwork, Shortcut, evaluate};
use quant::int_graph::reference::{self, Trace};
use quant::int_graph::{IntEngine, IntGraph, IntNode, Op, Value};
use quant::requantize::{Bounds, RealMap, Requantize};
use quant::{ActivationRule, Granularity, IntTensor, Policy, QuantConfig, Quantizer, ScaleRule, kernel};

/// A ResNet-8 that has seen nothing, with batch norms that do something, negative gammas among them.
fn network(
    bits: &str,
    stream: u32,
    shortcut: Shortcut,
    granularity: Granularity,
    seed: u64,
) -> QuantizedNetwork {
    let mut network = Network::fresh(8, shortcut, Normalization::TRUE, seed).unwrap();
    let mut rng = Rng::at(seed, Purpose::Test, 1, 0);
    for p in network.params.iter_mut() {
        match p.role {
            Role::Norm if p.name.ends_with("weight") => {
                p.value = Tensor::from_fn(p.value.shape(), |_| 0.7 + 0.5 * rng.normal());
            }
            Role::Norm => p.value = Tensor::from_fn(p.value.shape(), |_| 0.3 * rng.normal()),
            _ => {}
        }
    }
    let loader =
        Loader::evaluation(&noise_images(16, 4, &Normalization::TRUE, 1).unwrap(), 8, network.normalization);
    let config = QuantConfig {
        bits: bits.parse().unwrap(),
        policy: Policy::Product,
        weight_granularity: granularity,
        ..QuantConfig::default()
    };
    let quantizer = Quantizer::new(config)
        .with_activation_rule(ActivationRule::Scale(ScaleRule::HEURISTIC))
        .with_residual_bits(stream);
    QuantizedNetwork::calibrate(&network, &quantizer, loader.epoch(0)).unwrap()
}

fn images(n: usize) -> Vec<u8> {
    let mut rng = Rng::at(7, Purpose::Test, 2, 0);
    // Half noise, half black and white: the extremes of every table.
    (0..n * 3072)
        .map(|i| if i / 3072 % 2 == 0 { rng.next_u32() as u8 } else { 255 * (rng.next_u32() & 1) as u8 })
        .collect()
}

/// Every code of the engine beside the reference's.
fn assert_equal(engine: &IntEngine, image: &[u8], expected: &Trace) {
    let (mut workspace, mut logits) = (engine.workspace(), vec![0; expected.logits.len()]);
    let mut compared = 0;
    engine.classify_with(&mut workspace, image, &mut logits, |value, codes| {
        assert_eq!(codes(), expected.codes[value], "{} value {value}", engine.isa());
        compared += 1;
    });
    assert_eq!(compared, expected.codes.len());
    assert_eq!(logits, expected.logits, "{}", engine.isa());
}

fn cases() -> Vec<(IntGraph, String)> {
    let mut cases = Vec::new();
    for (i, bits) in
        ["W8A8", "W4A4", "W8A2", "W2A8", "W2A2", "W1A3", "W3A16", "W8A16", "W5A5"].into_iter().enumerate()
    {
        let shortcut = if i % 3 == 1 { Shortcut::A } else { Shortcut::B };
        let granularity = if i % 2 == 0 { Granularity::PerTensor } else { Granularity::PerChannel };
        let stream = [8, 16, 5][i % 3];
        let graph = network(bits, stream, shortcut, granularity, i as u64 + 1).lower().unwrap();
        cases.push((graph, format!("{bits} stream {stream} shortcut {shortcut}")));
    }
    cases
}

#[test]
fn every_code_of_every_value_is_the_references_on_every_instruction_set() {
    for (graph, what) in cases() {
        let images = images(2);
        let traces: Vec<Trace> = images.chunks(3072).map(|image| reference::run(&graph, image)).collect();
        let alive = traces[0].codes.iter().filter(|codes| codes.iter().any(|c| *c != codes[0])).count();
        assert!(2 * alive > traces[0].codes.len(), "{what}: most values are constant, nothing is tested");
        for isa in quant::kernel::KERNELS.iter().filter(|k| k.max_weight >= 128) {
            if !isa.available() {
                eprintln!("SKIPPED: this CPU does not have {}", isa.isa);
                continue;
            }
            let engine = IntEngine::for_isa(graph.clone(), isa.isa).unwrap();
            for (image, trace) in images.chunks(3072).zip(&traces) {
                assert_equal(&engine, image, trace);
            }
        }
    }
}

/// Images of one colour and of five go another way than those of three.
#[test]
fn images_of_any_number_of_colours() {
    for channels in [1, 5] {
        let dims = [5, 7, channels];
        let value = |dims| Value { dims, bits: 8, zero_point: 0, scale: 1.0 };
        let table = |c| std::array::from_fn(|pixel| (pixel * (c + 3)) as u8);
        let mean =
            RealMap { per_acc: vec![1.0 / 35.0; channels], per_residual: None, offset: vec![0.0; channels] };
        let bounds = Bounds::new(vec![35 * 255; channels], 0);
        let q = Requantize::new(&mean, &bounds, 0, 255).unwrap();
        let w = (0..2 * channels).map(|i| i as i8 - 3).collect();
        let w = IntTensor::from_vec([2, channels], w).unwrap();
        let linear = Op::Linear { x: 1, w, w_bits: 8, b_int: vec![5, -5], logit_scale: vec![1.0; 2] };
        let ops = [
            ("input", Op::Lookup { y: 0, table: (0..channels).map(table).collect() }),
            ("pool", Op::GlobalAvgPool { x: 0, outputs: vec![(1, q)] }),
            ("fc", linear),
        ];
        let nodes = ops.map(|(name, op)| IntNode { name: name.into(), op }).into();
        let graph = IntGraph::new(vec![value(dims), value([1, 1, channels])], nodes).unwrap();
        let image: Vec<u8> = (0..35 * channels).map(|i| (i * 37) as u8).collect();
        let expected = reference::run(&graph, &image);
        for isa in kernel::KERNELS.iter().filter(|k| k.available()).map(|k| k.isa) {
            assert_equal(&IntEngine::for_isa(graph.clone(), isa).unwrap(), &image, &expected);
        }
    }
}

/// A batch norm that a ReLU reads and a sum reads too is computed twice, under two names.
#[test]
fn what_is_computed_twice_has_two_names() {
    let conv = || Layer::Conv2d { c: 3, o: 3, kernel: 3, stride: 1, padding: 1 };
    let mut graph = Graph::default();
    let image = graph.add("input", Layer::Input, &[]);
    let conv1 = graph.add("conv1", conv(), &[image]);
    let norm1 = graph.add("bn1", Layer::BatchNorm { c: 3 }, &[conv1]);
    let relu = graph.add("relu", Layer::Relu, &[norm1]);
    let conv2 = graph.add("conv2", conv(), &[relu]);
    let norm2 = graph.add("bn2", Layer::BatchNorm { c: 3 }, &[conv2]);
    let sum = graph.add("sum", Layer::Add, &[norm2, norm1]);
    let last = graph.add("last", Layer::Relu, &[sum]);
    let pool = graph.add("pool", Layer::GlobalAvgPool, &[last]);
    graph.add("fc", Layer::Linear { i: 3, o: 2 }, &[pool]);
    let params = graph.init(1).unwrap();
    let mut rng = Rng::new(1, 0);
    let images = Tensor::from_fn([2, 6, 6, 3], |_| rng.normal());
    let config = QuantConfig { policy: Policy::Product, ..QuantConfig::default() };
    let quantized = Quantizer::new(config).calibrate(&graph, &params, std::iter::once(images)).unwrap();
    let graph = quantized.lower([6, 6, 3], &|_, byte| f32::from(byte) / 64.0 - 2.0).unwrap();
    let names: Vec<&str> = graph.nodes().iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["input", "conv1", "conv1.2", "conv2", "pool", "fc"]);
    assert_eq!(IntGraph::from_bytes(&graph.to_bytes(&BTreeMap::new())).unwrap().0, graph);
}

#[test]
fn a_batch_gives_the_same_logits_for_any_number_of_threads() {
    let (graph, _) = cases().swap_remove(1);
    let images = images(9);
    let engine = IntEngine::new(graph.clone()).unwrap();
    let expected: Vec<i32> =
        images.chunks(3072).flat_map(|image| reference::run(&graph, image).logits).collect();
    for threads in [1, 2, 7] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        assert_eq!(pool.install(|| engine.run(&images)).unwrap(), expected);
    }
    assert!(engine.run(&images[..100]).unwrap_err().to_string().contains("3072 bytes each"));
}

/// Logits of the integer network and of its float simulation: how many of all are more than a fiftieth of the largest apart.
fn far_from_the_simulation(quantized: &QuantizedNetwork) -> (usize, usize) {
    let set = noise_images(64, 4, &Normalization::TRUE, 1).unwrap();
    let loader = Loader::evaluation(&set, 16, quantized.network.normalization);
    let (graph, params) = (&quantized.network.graph, &quantized.network.params);
    let mut hook = quantized.quantization.simulated();
    let simulated = evaluate(graph, params, loader.epoch(0), &mut hook, |_| {}).unwrap();
    let engine = IntEngine::new(quantized.lower().unwrap()).unwrap();
    let images: Vec<u8> =
        (0..set.len()).flat_map(|i| models::data::cifar10::interleave(set.image(i))).collect();
    let logits = engine.run(&images).unwrap();
    let real: Vec<f32> = logits.chunks(10).flat_map(|l| engine.graph().real_logits(l)).collect();
    let spread = simulated.logits.iter().fold(0f32, |a, l| a.max(l.abs()));
    let far = real.iter().zip(&simulated.logits).filter(|(a, b)| (*a - *b).abs() > 0.02 * spread).count();
    (far, real.len())
}

#[test]
fn the_float_simulation_gives_the_same_classes_and_nearly_the_same_logits() {
    for (bits, stream) in [("W8A8", 8), ("W4A4", 8), ("W4A4", 16)] {
        let quantized = network(bits, stream, Shortcut::B, Granularity::PerTensor, 5);
        let (far, all) = far_from_the_simulation(&quantized);
        assert!(far * 50 <= all, "{bits}: {far} of {all} logits differ");
    }
}

/// Ranges that begin below zero have a zero point everywhere, behind a ReLU and in residual sums too.
#[test]
fn zero_points_everywhere() {
    for shortcut in [Shortcut::A, Shortcut::B] {
        let mut quantized = network("W8A8", 8, shortcut, Granularity::PerTensor, 5);
        quantized.quantization.ranges.0.values_mut().for_each(|range| range.min = -0.4 * range.max);
        let (far, all) = far_from_the_simulation(&quantized);
        assert!(far * 50 <= all, "{shortcut}: {far} of {all} logits differ");
    }
}

/// Variances as small as what is added to them before the root is taken, and gammas that make up for it.
#[test]
fn variances_near_zero() {
    let mut quantized = network("W8A8", 8, Shortcut::B, Granularity::PerTensor, 5);
    for p in quantized.network.params.iter_mut().filter(|p| p.role == Role::Norm) {
        let factor = if p.name.ends_with("weight") { (3e-5f32 / 1.00001).sqrt() } else { 1.0 };
        p.value.data_mut().iter_mut().for_each(|v| *v *= factor);
    }
    for p in quantized.network.params.iter_mut().filter(|p| p.name.ends_with("running_var")) {
        p.value.data_mut().fill(2e-5);
    }
    let (far, all) = far_from_the_simulation(&quantized);
    assert!(far * 50 <= all, "{far} of {all} logits differ");
}

#[test]
fn a_model_file_brings_back_every_number_and_is_as_small_as_its_weights() {
    for (graph, what) in cases() {
        let about = BTreeMap::from([("arch".to_owned(), "resnet8".to_owned())]);
        let bytes = graph.to_bytes(&about);
        assert_eq!(bytes, graph.to_bytes(&about), "equal networks, equal files");
        assert_eq!(IntGraph::from_bytes(&bytes).unwrap(), (graph.clone(), about), "{what}");
        let per_channel: usize =
            graph.nodes().iter().map(|n| n.op.outputs().count()).sum::<usize>() * 12 * 64;
        assert!(bytes.len() < graph.weight_bytes() + per_channel + 12_000, "{what}: {} bytes", bytes.len());
    }
}

#[test]
fn a_damaged_file_is_an_error_and_nothing_worse() {
    let (graph, _) = cases().swap_remove(4);
    let bytes = graph.to_bytes(&BTreeMap::new());
    let image = images(1);
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for cut in [0, 7, 8, 100, header, header + 1, bytes.len() - 1] {
        assert!(IntGraph::from_bytes(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    // Any byte may be anything: either it is refused, or what is read can be computed without a panic.
    let mut rng = Rng::at(3, Purpose::Test, 3, 0);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..400 {
        let mut damaged = bytes.clone();
        let at = if rng.below(2) == 0 { rng.below(header) } else { rng.below(bytes.len()) };
        damaged[at] ^= 1 << rng.below(8);
        match IntGraph::from_bytes(&damaged) {
            Err(e) => {
                refused += 1;
                assert!(!e.to_string().contains('\n'), "{e}");
            }
            Ok((graph, _)) => {
                read += 1;
                if read % 16 == 0 {
                    let engine = IntEngine::new(graph.clone()).unwrap();
                    let mut logits = vec![0; graph.logit_scale().len()];
                    if graph.image() == [32, 32, 3] {
                        engine.classify(&mut engine.workspace(), &image, &mut logits);
                        assert_eq!(logits, reference::run(&graph, &image).logits);
                    }
                }
            }
        }
    }
    assert!(refused > 50 && read > 16, "{refused} refused, {read} read");
}

#[test]
fn the_courses_policy_has_no_integer_only_form() {
    let mut quantized = network("W4A4", 8, Shortcut::B, Granularity::PerTensor, 1);
    quantized.quantization.config.policy = Policy::Course;
    quantized.quantization.plan =
        Policy::Course.plan(&quantized.network.graph, quantized.quantization.config.bits);
    let e = quantized.lower().unwrap_err().to_string();
    assert!(e.contains("stays float under policy `course`"), "{e}");
}

/// The bias is at the scale of the sums: a large one beside small weights has more steps than 32 bits hold.
#[test]
fn a_bias_beyond_32_bits_is_refused_by_name() {
    let quantized = network("W8A8", 8, Shortcut::B, Granularity::PerTensor, 1);
    let scale = IntEngine::new(quantized.lower().unwrap()).unwrap().graph().logit_scale()[3];
    for (steps, refused) in [(0.9, false), (-0.9, false), (0.9999999, true), (-0.9999999, true)] {
        let mut quantized = quantized.clone();
        quantized.network.params.get_mut("fc.bias").unwrap().data_mut()[3] = steps * scale * 2f32.powi(31);
        let result = quantized.lower().map(|_| ()).map_err(|e| e.to_string());
        let named = |e: &String| e.contains("layer `fc`: class 3 has a bias of");
        assert_eq!(result.as_ref().is_err_and(named), refused, "{steps}: {result:?}");
        assert_eq!(result.is_err(), refused, "{steps}: {result:?}");
    }
}

#[test]
fn an_image_has_at_most_8_bits() {
    for (bits, refused) in [("W8A7", false), ("W8A8", false), ("W8A9", true)] {
        let mut quantized = network("W8A8", 8, Shortcut::B, Granularity::PerTensor, 1);
        quantized.quantization.plan.set("conv1", Some(bits.parse().unwrap())).unwrap();
        let result = quantized.lower().map(|_| ()).map_err(|e| e.to_string());
        let named = |e: &String| e.contains("the image takes at most 8 bits");
        assert_eq!(
            (result.is_err(), result.as_ref().is_err_and(named)),
            (refused, refused),
            "{bits}: {result:?}"
        );
    }
}
