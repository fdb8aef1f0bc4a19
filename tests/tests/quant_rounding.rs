//! Learned rounding on whole networks: what it gains, what is stored, and that threads do not matter.

use engine::rng::{Purpose, Rng};
use engine::{Float, Graph, Layer, Params, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::formats::open;
use models::{Network, QuantizedNetwork, Shortcut, evaluate};
use quant::rounding::{Method, WeightRule, reconstruct};
use quant::{
    Effort, Granularity, Policy, QuantConfig, Quantized, Quantizer, ScaleRule, Sequence, linear_quantize,
};

/// Two convolutions with random weights, and smooth random images.
fn two_layers() -> (Graph, Params, Vec<Tensor>) {
    let conv = |c, o| Layer::Conv2d { c, o, kernel: 3, stride: 1, padding: 1 };
    let mut graph = Graph::default();
    let x = graph.add("x", Layer::Input, &[]);
    let first = graph.add("first", conv(3, 8), &[x]);
    let relu = graph.add("relu", Layer::Relu, &[first]);
    graph.add("second", conv(8, 8), &[relu]);
    let params = graph.init(5).unwrap();
    let mut rng = Rng::at(5, Purpose::Test, 0, 0);
    let mut image = |n: usize| {
        let phase: Vec<f32> = (0..n * 3).map(|_| 6.0 * rng.uniform()).collect();
        Tensor::from_fn([n, 8, 8, 3], |i| {
            let (image, y, x, c) = (i / 192, i / 24 % 8, i / 3 % 8, i % 3);
            (phase[image * 3 + c] + 0.5 * x as f32 - 0.3 * y as f32).sin() + 0.3 * rng.normal()
        })
    };
    let images = (0..4).map(|_| image(16)).collect();
    (graph, params, images)
}

fn quantized(graph: &Graph, params: &Params, images: &[Tensor], bits: &str) -> Quantized {
    let config = QuantConfig {
        bits: bits.parse().unwrap(),
        weight_rule: ScaleRule::HEURISTIC,
        activation_rule: ScaleRule::HEURISTIC,
        ..QuantConfig::default()
    };
    Quantizer::new(config).calibrate(graph, params, images.iter().cloned()).unwrap()
}

/// Mean squared distance of the outputs from the float network's.
fn error(quantized: &Quantized, float: &Params, images: &[Tensor]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for x in images {
        let want = quantized.graph.infer(float, x.clone(), &mut Float).unwrap();
        let mut hook = quantized.quantization.simulated();
        let got = quantized.graph.infer(&quantized.params, x.clone(), &mut hook).unwrap();
        sum += want.data().iter().zip(got.data()).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        count += want.len();
    }
    sum / count as f64
}

#[test]
fn adaround_beats_rounding_to_nearest_on_images_it_has_not_seen() {
    let (graph, params, images) = two_layers();
    let (seen, unseen) = images.split_at(3);
    let mut network = quantized(&graph, &params, seen, "W3A8");
    let nearest = error(&network, &params, unseen);
    let w = network.params.get("second.weight").unwrap().clone();
    let q = network.quantization.weight_params("second", &w, 3).unwrap();
    let method = Method { iterations: 400, batch: 16, ..Method::ADAROUND };
    reconstruct(&mut network, &params, seen.iter().cloned(), &method, 1, &mut |_| {}).unwrap();
    let learned = error(&network, &params, unseen);
    assert!(learned < 0.8 * nearest, "learned {learned}, nearest {nearest}");
    // Every code is one of the two neighbours of its weight, on the scale that was there before.
    assert_eq!(network.quantization.weight_scales["second"], q.scales());
    let codes = linear_quantize::<i8>(network.params.get("second.weight").unwrap(), &q).unwrap();
    let s = q.scales()[0];
    let mut moved = 0;
    for (&code, &w) in codes.data().iter().zip(w.data()) {
        let down = (w / s).floor();
        let (lo, hi) = (down.clamp(-4.0, 3.0), (down + 1.0).clamp(-4.0, 3.0));
        assert!(f32::from(code) == lo || f32::from(code) == hi, "{code} for {}", w / s);
        moved += usize::from(f32::from(code) != (w / s).round_ties_even().clamp(-4.0, 3.0));
    }
    assert!(moved > 0, "some weight is rounded to the farther side");
}

#[test]
fn reconstruction_of_blocks_beats_rounding_to_nearest_on_images_it_has_not_seen() {
    let (graph, params, images) = two_layers();
    let (seen, unseen) = images.split_at(3);
    for (name, method) in [("brecq", Method::BRECQ), ("qdrop", Method::QDROP), ("adaquant", Method::ADAQUANT)]
    {
        let mut network = quantized(&graph, &params, seen, "W3A4");
        let nearest = error(&network, &params, unseen);
        let method = Method { iterations: 400, batch: 16, views: 1, ..method };
        reconstruct(&mut network, &params, seen.iter().cloned(), &method, 1, &mut |_| {}).unwrap();
        let learned = error(&network, &params, unseen);
        assert!(learned < 0.85 * nearest, "{name}: learned {learned}, nearest {nearest}");
    }
}

fn small_network(granularity: Granularity) -> (Network, Quantized, Loader) {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
    let loader = Loader::evaluation(&set, 8, network.normalization);
    let config = QuantConfig {
        bits: "W2A2".parse().unwrap(),
        policy: Policy::Course,
        weight_granularity: granularity,
        weight_rule: ScaleRule::HEURISTIC,
        activation_rule: ScaleRule::HEURISTIC,
        ..QuantConfig::default()
    };
    let images = loader.epoch(0).map(|batch| batch.x);
    let quantized = Quantizer::new(config).calibrate(&network.graph, &network.params, images).unwrap();
    (network, quantized, loader)
}

/// A few iterations of everything at once.
fn short(weights: WeightRule) -> Method {
    Method { weights, steps: true, norms: true, drop: true, iterations: 6, batch: 4, ..Method::BRECQ }
}

#[test]
fn a_stored_network_has_the_codes_that_were_learned() {
    for (weights, granularity) in [
        (WeightRule::Rounding, Granularity::PerTensor),
        (WeightRule::Free, Granularity::PerTensor),
        (WeightRule::Rounding, Granularity::PerChannel),
    ] {
        let (network, mut learned, loader) = small_network(granularity);
        let images = loader.epoch(0).map(|batch| batch.x);
        reconstruct(&mut learned, &network.params, images, &short(weights), 1, &mut |_| {}).unwrap();
        // Weights are scales times codes already: rounding them changes nothing.
        for (layer, scales) in &learned.quantization.weight_scales {
            let w = learned.params.get(&format!("{layer}.weight")).unwrap();
            let q = learned.quantization.weight_params(layer, w, 2).unwrap();
            assert_eq!(q.scales(), scales);
            assert_eq!(&quant::fake_quantize(w, &q).unwrap(), w, "{layer}");
        }
        let quantized = QuantizedNetwork::of(&network, learned);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.safetensors");
        let latent = quantized.save(&path, &[]).unwrap();
        let logits = |q: &QuantizedNetwork| {
            let mut hook = q.quantization.integers().unwrap();
            let Network { graph, params, .. } = &q.network;
            evaluate(graph, params, loader.epoch(0), &mut hook, |_| {}).unwrap().logits
        };
        let want = logits(&quantized);
        for file in [&path, &latent] {
            let checkpoint = open::load_checkpoint(file).unwrap();
            let back = QuantizedNetwork::from_checkpoint(&checkpoint, None).unwrap().unwrap();
            assert_eq!(logits(&back), want, "{}", file.display());
        }
    }
}

#[test]
fn learned_rounding_does_not_depend_on_the_number_of_threads() {
    let learn = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [WeightRule::Rounding, WeightRule::Free].map(|weights| {
                let (network, mut learned, loader) = small_network(Granularity::PerTensor);
                let images = loader.epoch(0).map(|batch| batch.x);
                reconstruct(&mut learned, &network.params, images, &short(weights), 7, &mut |_| {}).unwrap();
                (learned.params, learned.quantization)
            })
        })
    };
    assert!(learn(1) == learn(3));
}

#[test]
fn factors_that_move_between_layers_leave_the_float_network_as_it_is() {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let x = Tensor::from_fn([2, 32, 32, 3], |i| (i * 37 % 101) as f32 / 50.0 - 1.0);
    let logits = |params: &Params| network.graph.infer(params, x.clone(), &mut Float).unwrap();
    let (want, mut params) = (logits(&network.params), network.params.clone());
    assert_eq!(quant::equalize::cross_layer(&network.graph, &mut params).unwrap(), 3, "one for each block");
    let plan = Policy::Course.plan(&network.graph, "W4A4".parse().unwrap());
    let scales = quant::equalize::balance(&network.graph, &mut params, &plan, ScaleRule::HEURISTIC).unwrap();
    assert_eq!(scales.len(), 8, "every convolution but the first");
    assert_ne!(params, network.params);
    for (got, want) in logits(&params).data().iter().zip(want.data()) {
        assert!((got - want).abs() <= 1e-4 * (1.0 + want.abs()), "{got} instead of {want}");
    }
}

#[test]
fn corrections_follow_one_another() {
    let (graph, params, images) = two_layers();
    let config = QuantConfig { bits: "W3A4".parse().unwrap(), ..QuantConfig::default() };
    let quantizer = Quantizer::new(config);
    let quantize = |sequence: &str| {
        let (sequence, mut heard) = (sequence.parse::<Sequence>().unwrap(), Vec::new());
        let effort = Effort { seed: 1, iterations: Some(200) };
        let batches = || images.iter().cloned();
        let network =
            sequence.quantize(&quantizer, (&graph, &params), batches, effort, &mut |step, report| {
                heard.push((step.name(), report.done, report.of));
            });
        (network.unwrap(), heard)
    };
    let (none, heard) = quantize("none");
    assert!(heard.is_empty() && none.params == params);
    let (learned, heard) = quantize("equalize,balance,bias,adaround");
    assert_eq!(heard.last().map(|(name, done, of)| (*name, of - done)), Some(("adaround", 0)));
    assert!(error(&learned, &params, &images) < error(&none, &params, &images));
}
