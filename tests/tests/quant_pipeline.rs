//! The library's pipeline: calibrate, correct, train, lower.

use std::collections::BTreeSet;

use engine::{Float, Hook, Params, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, Shortcut, evaluate};
use quant::pipeline::calibrate;
use quant::{
    ActivationRule, Correction, FakeQuantHook, Policy, QuantConfig, Quantization, Quantized, Quantizer,
    Reference, ScaleRule, reestimate,
};

fn setup(bits: &str) -> (Network, Quantization, Loader) {
    let network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
    let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
    let loader = Loader::evaluation(&set, 8, network.normalization);
    let config = QuantConfig { bits: bits.parse().unwrap(), ..QuantConfig::default() };
    let quantizer = Quantizer::new(config).with_activation_rule(ActivationRule::Scale(ScaleRule::HEURISTIC));
    let quantized = quantizer.calibrate(&network.graph, &network.params, images(&loader)).unwrap();
    (network, quantized.quantization, loader)
}

fn images(loader: &Loader) -> impl Iterator<Item = Tensor> {
    loader.epoch(0).map(|batch| batch.x)
}

/// Mean squared distance of the logits from the float network's.
fn distance(float: &Network, params: &Params, quantization: &Quantization, loader: &Loader) -> f64 {
    let logits = |params: &Params, hook: &mut dyn Hook| {
        evaluate(&float.graph, params, loader.epoch(0), hook, |_| {}).unwrap().logits
    };
    let (f, q) = (logits(&float.params, &mut Float), logits(params, &mut quantization.simulated()));
    f.iter().zip(&q).map(|(f, q)| f64::from(f - q).powi(2)).sum::<f64>() / f.len() as f64
}

#[test]
fn correction_brings_the_logits_nearer_to_the_float_networks() {
    let (float, quantization, loader) = setup("W3A3");
    let after = |correction| {
        let reference = Reference::new(&float.graph, &float.params, images(&loader)).unwrap();
        let params = reference.correct(&quantization, correction).unwrap();
        distance(&float, &params, &quantization, &loader)
    };
    let (none, bias, both) = (after(Correction::None), after(Correction::Bias), after(Correction::BatchNorm));
    assert!(bias < 0.7 * none && both < 0.7 * none, "none {none}, bias {bias}, batch norm {both}");
}

#[test]
fn reestimated_statistics_are_those_of_the_images() {
    let (float, quantization, loader) = setup("W3A3");
    let of = |batches: Vec<Tensor>, hook: &mut dyn Hook| {
        reestimate(&float.graph, &float.params, batches.into_iter(), hook).unwrap()
    };
    let mut both = images(&loader).take(2);
    let (a, b) = (both.next().unwrap(), both.next().unwrap());
    // Of one batch: what each batch norm sees of it, in floats and under quantization.
    let in_float: &mut dyn Hook = &mut Float;
    for hook in [in_float, &mut quantization.simulated()] {
        let params = of(vec![a.clone()], hook);
        for (name, stats) in float.graph.batch_statistics(&float.params, a.clone(), hook).unwrap() {
            assert_eq!(params.get(&format!("{name}.running_mean")).unwrap().data(), stats.mean, "{name}");
            let var = params.get(&format!("{name}.running_var")).unwrap().data();
            assert!(var.iter().zip(&stats.var).all(|(a, b)| (a - b).abs() <= 1e-5 * (1.0 + b)), "{name}");
        }
    }
    // Of two batches: the first batch norm, which no other one stands before, has the statistics of both in one.
    let [n, h, w, c] = a.dims()[..] else { panic!("an image has four dimensions") };
    let joined = Tensor::from_vec([2 * n, h, w, c], [a.data(), b.data()].concat()).unwrap();
    let first = |batches| of(batches, &mut Float).get("bn1.running_var").unwrap().data().to_vec();
    for (parts, whole) in first(vec![a, b]).iter().zip(first(vec![joined])) {
        assert!((parts - whole).abs() <= 1e-5 * (1.0 + whole), "{parts} {whole}");
    }
}

/// Behind the first layer, which sees the same images however they are divided.
#[test]
fn a_last_batch_of_few_images_counts_for_as_many() {
    let (float, _, _) = setup("W3A3");
    let set = noise_images(9, 4, &Normalization::TRUE, 1).unwrap();
    let [whole, divided] = [9, 8].map(|batch| Loader::evaluation(&set, batch, float.normalization));
    let config =
        QuantConfig { bits: "W3A3".parse().unwrap(), policy: Policy::Product, ..QuantConfig::default() };
    let Network { graph, params, .. } = &float;
    let quantized = Quantizer::new(config).calibrate(graph, params, images(&whole)).unwrap();
    let corrected = |loader: &Loader| {
        let reference = Reference::new(graph, params, images(loader)).unwrap();
        reference.correct(&quantized.quantization, Correction::Bias).unwrap()
    };
    let again = |loader: &Loader| reestimate(graph, params, images(loader), &mut Float).unwrap();
    for (whole, divided) in [(corrected(&whole), corrected(&divided)), (again(&whole), again(&divided))] {
        let mean = |params: &Params| params.get("bn1.running_mean").unwrap().data().to_vec();
        for (w, d) in mean(&whole).iter().zip(mean(&divided)) {
            assert!((w - d).abs() < 1e-5, "{w} {d}");
        }
    }
}

#[test]
fn at_sixteen_bits_there_is_next_to_nothing_to_correct() {
    let (float, quantization, loader) = setup("W16A16");
    let reference = Reference::new(&float.graph, &float.params, images(&loader)).unwrap();
    let corrected = reference.correct(&quantization, Correction::BatchNorm).unwrap();
    for (before, after) in float.params.iter().zip(corrected.iter()) {
        for (b, a) in before.value.data().iter().zip(after.value.data()) {
            assert!((a - b).abs() <= 1e-3 * (1.0 + b.abs()), "{}: {b} -> {a}", before.name);
        }
    }
}

#[test]
fn a_moving_average_lies_within_the_largest_value() {
    let (network, quantization, loader) = setup("W4A4");
    let ranges = |rule: &str| {
        calibrate(&network.graph, &network.params, &quantization.plan, rule.parse().unwrap(), images(&loader))
            .unwrap()
    };
    let (largest, average) = (ranges("max"), ranges("moving_average"));
    assert_eq!(largest.0.len(), 9, "every layer but the first");
    for (layer, range) in &largest.0 {
        let a = average.0[layer].max;
        assert!(a > 0.0 && a <= range.max, "{layer}: {a}, {}", range.max);
    }
}

#[test]
fn activations_that_overflow_name_the_first_layer_they_enter() {
    let (mut network, quantization, loader) = setup("W4A4");
    network.params.get_mut("layer2.0.bn1.weight").unwrap().data_mut().fill(3e38);
    for rule in ["max", "mse", "moving_average"] {
        let e = calibrate(
            &network.graph,
            &network.params,
            &quantization.plan,
            rule.parse().unwrap(),
            images(&loader),
        )
        .unwrap_err();
        assert!(e.to_string().contains("enters layer `layer2.0.conv2` is not finite"), "{rule}: {e}");
    }
    // Here no ReLU makes zero of NaN on the way to the logits, and evaluation sees it.
    network.params.get_mut("layer2.0.bn1.weight").unwrap().data_mut().fill(1.0);
    network.params.get_mut("layer3.0.bn2.weight").unwrap().data_mut().fill(3e38);
    let e = evaluate(&network.graph, &network.params, loader.epoch(0), &mut Float, |_| {}).unwrap_err();
    assert!(e.to_string().contains("is not finite") && e.to_string().contains("pool"), "{e}");
}

#[test]
fn no_images_and_unknown_rules_are_errors() {
    let (network, quantization, _) = setup("W4A4");
    for rule in ["max", "moving_average"] {
        let e = calibrate(
            &network.graph,
            &network.params,
            &quantization.plan,
            rule.parse().unwrap(),
            std::iter::empty(),
        );
        assert!(e.unwrap_err().to_string().contains("has seen no activations"));
    }
    assert!(
        "median"
            .parse::<ActivationRule>()
            .unwrap_err()
            .to_string()
            .contains("known: moving_average, symmetric")
    );
    for (name, rule) in [
        ("moving_average", "moving_average"),
        ("symmetric", "symmetric"),
        ("max", "symmetric"),
        ("max_abs", "symmetric"),
        ("mse", "heuristic"),
        ("sawb", "sawb"),
    ] {
        assert_eq!(name.parse::<ActivationRule>().unwrap().to_string(), rule);
    }
}

#[test]
fn a_network_goes_on_as_it_was_trained_and_not_as_its_floats_would() {
    let (mut network, quantization, loader) = setup("W2A2");
    // As after training at two bits: the batch norms know rounded layers only. In floats the last stage is a thousand times larger.
    for norm in ["layer1.0.bn1", "layer2.0.bn1", "layer3.0.bn1"] {
        network.params.get_mut(&format!("{norm}.running_var")).unwrap().data_mut().fill(1e-2);
    }
    let Network { graph, params, .. } = &network;
    let logits = |quantization: &Quantization| {
        let mut hook = quantization.as_trained();
        evaluate(graph, params, loader.epoch(0), &mut hook, |_| {}).unwrap().logits
    };
    let start =
        Quantized { graph: graph.clone(), params: params.clone(), quantization: quantization.clone() };
    let quantizer = |bits: &str| {
        let config = QuantConfig { bits: bits.parse().unwrap(), ..quantization.config.clone() };
        Quantizer::new(config).continue_from(&start, images(&loader)).unwrap()
    };
    let same = quantizer("W2A2");
    assert_eq!(same.quantization.ranges, quantization.ranges, "ranges of inputs whose width stays are kept");
    assert_eq!(logits(&same.quantization), logits(&quantization));

    // With more bits for activations the ranges are seen anew, under the rounding: no value lies far beyond what was clipped.
    let wider = quantizer("W2A8");
    let largest = |q: &Quantization| q.ranges.0.values().fold(0.0f32, |m, range| m.max(range.max));
    let float =
        calibrate(graph, params, &wider.quantization.plan, "max".parse().unwrap(), images(&loader)).unwrap();
    let in_floats = float.0.values().fold(0.0f32, |m, range| m.max(range.max));
    assert!(
        largest(&wider.quantization) < 0.2 * in_floats,
        "{} of {in_floats}",
        largest(&wider.quantization)
    );
}

/// One step of training on noise.
fn train_a_step(quantized: &mut Quantized) -> quant::Result<Vec<f32>> {
    let x = Tensor::from_fn([4, 32, 32, 3], |i| (i as f32 * 0.37).sin());
    let sgd = engine::optim::Sgd::new(0.9, true, 0.0, false);
    quantized.train([(x, vec![0, 1, 2, 3])].into_iter(), sgd, 0.5)
}

#[test]
fn normalised_weights_keep_their_spread_and_damped_ones_move_otherwise() {
    let (network, quantization, _) = setup("W4A4");
    let trained = |weight_norm: bool, damping: f32| {
        let mut quantization = quantization.clone();
        (quantization.config.weight_norm, quantization.config.damping) = (weight_norm, damping);
        let (graph, params) = (network.graph.clone(), network.params.clone());
        let mut quantized = Quantized { graph, params, quantization };
        train_a_step(&mut quantized).unwrap();
        quantized.params.get("layer1.0.conv1.weight").unwrap().clone()
    };
    let spread = |w: &Tensor| {
        let mean = w.data().iter().sum::<f32>() / w.len() as f32;
        (w.data().iter().map(|w| (w - mean).powi(2)).sum::<f32>() / w.len() as f32).sqrt()
    };
    let before = spread(network.params.get("layer1.0.conv1.weight").unwrap());
    let after = |w: &Tensor| (spread(w) / before - 1.0).abs();
    let (free, normalised) = (trained(false, 0.0), trained(true, 0.0));
    assert!(after(&normalised) < 1e-4, "{}", after(&normalised));
    assert!(after(&free) > 1e-3, "{}", after(&free));
    assert!(trained(false, 1.0) != free);
}

/// A network whose weights have a learned step for each output channel: the steps move apart, and what comes out is the same
/// network in floats and in integers.
#[test]
fn steps_of_channels_are_learned() {
    let (network, quantization, loader) = setup("W4A4");
    let config = QuantConfig {
        weight_granularity: quant::Granularity::PerChannel,
        weight_step: quant::StepRule::Lsq,
        activation_step: quant::StepRule::Lsq,
        ..quantization.config.clone()
    };
    let quantizer = Quantizer::new(config);
    let mut quantized = quantizer.calibrate(&network.graph, &network.params, images(&loader)).unwrap();
    let w = network.params.get("layer1.0.conv1.weight").unwrap();
    let first = quantized.quantization.weight_params("layer1.0.conv1", w, 4).unwrap();
    train_a_step(&mut quantized).unwrap();
    let learned = &quantized.quantization.weight_scales;
    assert_eq!((learned["layer1.0.conv1"].len(), learned["layer3.0.conv2"].len()), (16, 64));
    let moved: BTreeSet<i32> = learned["layer1.0.conv1"]
        .iter()
        .zip(first.scales())
        .map(|(learned, first)| ((learned / first - 1.0) * 1e5) as i32)
        .collect();
    assert!(moved.len() > 8, "each channel has its own gradient: {moved:?}");

    let (graph, params) = (&quantized.graph, &quantized.params);
    let logits = |hook: &mut dyn Hook| evaluate(graph, params, loader.epoch(0), hook, |_| {}).unwrap().logits;
    let simulated = logits(&mut quantized.quantization.simulated());
    let integers = logits(&mut quantized.quantization.integers().unwrap());
    for (simulated, integer) in simulated.iter().zip(&integers) {
        assert!((simulated - integer).abs() < 1e-3 * (1.0 + integer.abs()), "{simulated} {integer}");
    }

    // A state of another network is refused.
    let mut hook = FakeQuantHook::new(quantized.quantization.clone(), true);
    let x = images(&loader).next().unwrap();
    graph.batch_statistics(params, x.clone(), &mut hook).unwrap();
    for (name, fits) in [("layer1.0.conv1.weight", 16), ("layer1.0.conv1", 1)] {
        let mut hook = hook.clone();
        let one = hook.steps.steps[name][0];
        hook.steps.steps.insert(name.into(), vec![one; fits + 1]);
        let e = graph.batch_statistics(params, x.clone(), &mut hook).unwrap_err().to_string();
        assert!(e.contains("layer1.0.conv1") && e.contains(&format!("{}", fits + 1)), "{e}");
    }
}

/// The scale of a tensor becomes that of every channel; scales of channels say nothing about that of the tensor.
#[test]
fn a_learned_scale_goes_on_as_that_of_every_channel() {
    let (network, quantization, loader) = setup("W4A4");
    let mut start = Quantized { graph: network.graph, params: network.params, quantization };
    start.quantization.weight_scales.insert("layer1.0.conv1".into(), vec![0.1]);
    let config = start.quantization.config.clone();
    let channels = QuantConfig { weight_granularity: quant::Granularity::PerChannel, ..config.clone() };
    let channels = Quantizer::new(channels).continue_from(&start, images(&loader)).unwrap();
    assert_eq!(channels.quantization.weight_scales["layer1.0.conv1"], vec![0.1; 16]);
    assert_eq!(channels.quantization.weight_scales.len(), 1);
    let one = Quantizer::new(config).continue_from(&channels, images(&loader)).unwrap();
    assert!(one.quantization.weight_scales.is_empty());
}
