//! Layers of 0 bits: the branch is a constant, in the simulation, in integers and in every file.

use engine::ops::BatchStats;
use engine::rng::{Purpose, Rng};
use engine::{Float, Tensor};
use models::data::augment::Normalization;
use models::data::loader::{Batch, Loader};
use models::data::synthetic::noise_images;
use models::formats::{packed, qlz};
use models::{Checkpoint, Network, QuantizedNetwork, Shortcut, evaluate};
use quant::int_graph::{IntEngine, IntGraph, reference};
use quant::{Correction, Effort, Granularity, Policy, QuantConfig, Quantizer, Sequence};

/// A ResNet-14 under `policy`, some of its layers dropped, its batch norms corrected.
fn dropped(layer_bits: &str, policy: Policy) -> QuantizedNetwork {
    let network = Network::fresh(14, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let config = QuantConfig { bits: "W4A8".parse().unwrap(), policy, ..QuantConfig::default() };
    let quantizer = Quantizer::new(config).with_layer_bits(layer_bits.parse().unwrap());
    let batches = || images().epoch(0).map(|batch| batch.x);
    let mut quantized = quantizer.calibrate(&network.graph, &network.params, batches()).unwrap();
    quantized.correct(batches(), Correction::BatchNorm).unwrap();
    QuantizedNetwork::of(&network, quantized)
}

fn images() -> Loader {
    Loader::evaluation(&noise_images(16, 4, &Normalization::TRUE, 1).unwrap(), 8, Normalization::TRUE)
}

/// The logits that the simulation in floats computes.
fn simulated(quantized: &QuantizedNetwork) -> Vec<f32> {
    let (graph, params) = (&quantized.network.graph, &quantized.network.params);
    evaluate(graph, params, images().epoch(0), &mut quantized.quantization.simulated(), |_| {})
        .unwrap()
        .logits
}

const CASES: [&str; 5] = [
    "layer3.1.*=0",
    "layer1.0.conv2=0,layer3.1.conv2=0",
    "layer2.1.conv1=0",
    "layer2.0.downsample.0=0",
    "layer3.0.conv1=0,layer3.0.conv2=0",
];

#[test]
fn integers_equal_the_reference_and_follow_the_simulation() {
    for bits in CASES {
        let quantized = dropped(bits, Policy::Product);
        let graph = quantized.lower().unwrap();
        let engine = IntEngine::new(graph.clone()).unwrap();
        let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
        let bytes: Vec<u8> =
            (0..set.len()).flat_map(|i| models::data::cifar10::interleave(set.image(i))).collect();
        let logits = engine.run(&bytes).unwrap();
        let expected: Vec<i32> =
            bytes.chunks(3072).flat_map(|image| reference::run(&graph, image).logits).collect();
        assert_eq!(logits, expected, "{bits}");
        let real: Vec<f32> = logits.chunks(10).flat_map(|row| graph.real_logits(row)).collect();
        let simulated = simulated(&quantized);
        let spread = simulated.iter().fold(0f32, |a, l| a.max(l.abs()));
        let far = real.iter().zip(&simulated).filter(|(a, b)| (*a - *b).abs() > 0.02 * spread).count();
        assert!(far * 20 <= real.len(), "{bits}: {far} of {} logits differ", real.len());
    }
}

#[test]
fn what_a_dropped_branch_does_not_need_is_not_there() {
    let names = |bits: &str| -> Vec<String> {
        let graph = dropped(bits, Policy::Product).lower().unwrap();
        graph.nodes().iter().map(|node| node.name.clone()).collect()
    };
    let whole = names("layer3.1.*=4");
    for bits in ["layer3.1.*=0", "layer3.1.conv2=0"] {
        let left = names(bits);
        assert_eq!(left.len() + 1, whole.len(), "{bits}");
        assert!(
            !left.contains(&"layer3.1.conv1".into()) && left.contains(&"layer3.1.conv2".into()),
            "{bits}"
        );
    }
    let [whole, left] = ["layer3.1.*=4", "layer3.1.*=0"].map(|bits| {
        let graph = dropped(bits, Policy::Product).lower().unwrap();
        (graph.weight_bytes(), graph.multiply_adds().iter().sum::<usize>())
    });
    // Neither on the grid that only the first convolution reads, nor behind it.
    let [wanted, unwanted] = ["layer3.1.conv1=W4A5", "layer3.1.conv1=W4A5,layer3.1.conv2=0"]
        .map(|bits| dropped(bits, Policy::Product).lower().unwrap().values().len());
    assert_eq!(wanted - unwanted, 2);
    let weights = 2 * 9 * 64 * 64;
    assert_eq!(whole.0 - left.0, weights / 2);
    assert_eq!(whole.1 - left.1, weights * 64);
}

#[test]
fn the_branch_is_the_mean_of_what_it_was() {
    // gamma (0 - mean') / sigma + beta is the mean of gamma (x - mean) / sigma + beta, if mean' = mean - E[x].
    let quantized = dropped("layer3.1.conv2=0", Policy::Course);
    let Network { graph, params, .. } = Network::fresh(14, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let statistics = |batch: Batch| graph.batch_statistics(&params, batch.x, &mut Float).unwrap();
    let batches: Vec<_> = images().epoch(0).map(statistics).collect();
    let mean = |c: usize| {
        let of = |batch: &Vec<(String, BatchStats)>| {
            batch.iter().find(|(name, _)| name == "layer3.1.bn2").map(|(_, stats)| stats.mean[c]).unwrap()
        };
        batches.iter().map(of).sum::<f32>() / batches.len() as f32
    };
    let [before, after] =
        [&params, &quantized.network.params].map(|p| p.get("layer3.1.bn2.running_mean").unwrap());
    for (c, (before, after)) in before.data().iter().zip(after.data()).enumerate() {
        assert!((before - after - mean(c)).abs() < 1e-5, "channel {c}");
    }
}

#[test]
fn every_file_brings_it_back() {
    let dir = tempfile::tempdir().unwrap();
    for (policy, bits) in
        [(Policy::Course, CASES[0]), (Policy::Course, CASES[2]), (Policy::Product, CASES[1])]
    {
        let quantized = dropped(bits, policy);
        let logits = simulated(&quantized);
        let same = |file: &str, checkpoint: Checkpoint| {
            let back = QuantizedNetwork::from_checkpoint(&checkpoint, None).unwrap().unwrap();
            assert_eq!(back.quantization.plan, quantized.quantization.plan, "{file}");
            assert_eq!(simulated(&back), logits, "{file}");
        };
        let path = dir.path().join("packed.safetensors");
        std::fs::write(&path, packed::to_bytes(&quantized, &quantized.checkpoint()).unwrap()).unwrap();
        same("packed", Checkpoint::read(&path).unwrap());
        let path = dir.path().join("latent.safetensors");
        quantized.checkpoint().write(&path).unwrap();
        same("latent", Checkpoint::read(&path).unwrap());
        let path = dir.path().join("coded.qlz");
        std::fs::write(&path, qlz::of_network(&quantized, &Default::default()).unwrap().0).unwrap();
        match qlz::read(&path).unwrap() {
            qlz::Content::Network(checkpoint) => same("coded", checkpoint),
            qlz::Content::Integer(graph, _) => assert_eq!(graph, quantized.lower().unwrap()),
        }
        if policy == Policy::Product {
            let graph = quantized.lower().unwrap();
            assert_eq!(IntGraph::from_bytes(&graph.to_bytes(&Default::default())).unwrap().0, graph);
        }
    }
}

#[test]
fn a_layer_that_nothing_goes_around_cannot_be_dropped() {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    for layer in ["conv1", "fc"] {
        let quantizer =
            Quantizer::new(QuantConfig::default()).with_layer_bits(format!("{layer}=0").parse().unwrap());
        let e = quantizer.plan(&network.graph).unwrap_err().to_string();
        assert!(e.contains(&format!("layer `{layer}` cannot have 0 bits")), "{e}");
    }
}

#[test]
fn every_correction_goes_around_it() {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    for granularity in [Granularity::PerTensor, Granularity::PerChannel] {
        let config = QuantConfig {
            bits: "W4A8".parse().unwrap(),
            policy: Policy::Product,
            weight_granularity: granularity,
            ..QuantConfig::default()
        };
        let bits = "layer2.0.conv1=0,layer3.0.conv2=0".parse().unwrap();
        let quantizer = Quantizer::new(config).with_layer_bits(bits);
        for steps in [
            "equalize,flip,balance,bias_analytic,adaround",
            "bias,brecq",
            "qdrop",
            "flip,balance,batch_norm,adaquant",
        ] {
            let sequence: Sequence = steps.parse().unwrap();
            let batches = || images().epoch(0).map(|batch| batch.x);
            let (float, effort) =
                ((&network.graph, &network.params), Effort { seed: 1, iterations: Some(2) });
            let quantized = sequence.quantize(&quantizer, float, batches, effort, &mut |_, _| {}).unwrap();
            let quantized = QuantizedNetwork::of(&network, quantized);
            assert!(simulated(&quantized).iter().all(|logit| logit.is_finite()), "{steps}");
            let graph = quantized.lower().unwrap();
            let silent =
                graph.nodes().iter().filter(|node| node.op.weights().is_some_and(|(_, bits)| bits == 0));
            assert_eq!(silent.count(), 2, "{steps}");
        }
    }
}

/// Its weights may all be zero: they are not normalised.
#[test]
fn there_is_nothing_to_normalise_in_it() {
    let mut quantized = dropped("layer3.1.*=0", Policy::Product);
    quantized.network.params.get_mut("layer3.1.conv1.weight").unwrap().data_mut().fill(0.0);
    quantized.quantization.config.weight_norm = true;
    let mut hook = quant::hooks::FakeQuantHook::new(quantized.quantization.clone(), true);
    hook.keep_spreads(&quantized.network.graph, &quantized.network.params).unwrap();
}

/// Training goes on around what is dropped.
#[test]
fn training_moves_the_constant() {
    let quantized = dropped("layer3.0.conv2=0", Policy::Product);
    let mut quantized = quant::Quantized {
        graph: quantized.network.graph.clone(),
        params: quantized.network.params.clone(),
        quantization: quantized.quantization.clone(),
    };
    quantized.quantization.config.weight_step = quant::StepRule::Lsq;
    let before = quantized.params.clone();
    let mut rng = Rng::at(5, Purpose::Test, 0, 0);
    let x = Tensor::from_fn([4, 32, 32, 3], |_| rng.normal());
    let sgd = engine::optim::Sgd::new(0.9, true, 0.0, false);
    let losses = quantized.train([(x, vec![0, 1, 2, 3])].into_iter(), sgd, 0.1).unwrap();
    assert!(losses[0].is_finite());
    let moved = |name: &str| quantized.params.get(name).unwrap() != before.get(name).unwrap();
    assert!(moved("layer3.0.bn2.bias") && moved("layer2.0.conv2.weight"));
    assert!(!moved("layer3.0.conv1.weight"), "nothing depends on it");
    assert!(quantized.params.iter().all(|p| p.value.first_non_finite().is_none()));
    assert!(!quantized.quantization.weight_scales.contains_key("layer3.0.conv2"), "it has no step to learn");
}
