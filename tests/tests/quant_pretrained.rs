//! Post-training quantization of a published network on real images: integer against simulated.
//! Skipped where `../shared` is not there. `PTQ_IMAGES=10000` evaluates the whole test set.

use std::path::PathBuf;
use std::time::Instant;

use engine::Float;
use models::data::augment::Normalization;
use models::data::cifar10::Cifar10;
use models::data::loader::Loader;
use models::evaluate;
use models::formats::open::load_network;
use quant::{CalibrateHook, QuantConfig, Quantization, ScaleRule, Widths};

#[test]
fn integer_and_simulated_logits_agree() {
    let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    let weights = shared.join("pretrained/resnet20_option_b_92.97.safetensors");
    if !weights.exists() {
        eprintln!("SKIPPED: {} is not there", weights.display());
        return;
    }
    let normalization = Normalization { mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616] };
    let network = load_network(&weights, Some(normalization)).unwrap();
    let data = Cifar10::open(shared.join("data")).unwrap();
    let images: usize = std::env::var("PTQ_IMAGES").map_or(500, |n| n.parse().unwrap());
    let loader = |set, n: usize| Loader::evaluation(set, 100, normalization).over((0..n).collect::<Vec<_>>());
    let run = |hook: &mut dyn engine::Hook, what: &str| {
        let start = Instant::now();
        let e = evaluate(&network.graph, &network.params, loader(&data.test, images).epoch(0), hook, |_| ())
            .unwrap();
        println!("{what}: {:.2}% in {:.2?}", e.top1(), start.elapsed());
        e
    };
    let float = run(&mut Float, "float");

    let mut calibration = CalibrateHook::default();
    let train = loader(&data.train, 1000);
    evaluate(&network.graph, &network.params, train.epoch(0), &mut calibration, |_| ()).unwrap();
    for (bits, activation_rule, floor) in [
        ("W8A8", ScaleRule::SYMMETRIC, 1.0),
        ("W4A4", ScaleRule::HEURISTIC, 13.0),
        ("W8A16", ScaleRule::SYMMETRIC, 1.0),
    ] {
        let bits: Widths = bits.parse().unwrap();
        let config = QuantConfig {
            bits,
            weight_rule: ScaleRule::HEURISTIC,
            activation_rule,
            ..QuantConfig::default()
        };
        let plan = config.policy.plan(&network.graph, bits);
        let ranges = calibration.ranges(&plan, config.activation_rule).unwrap();
        let quantization = Quantization { ranges, ..Quantization::new(config, plan) };
        let simulated = run(&mut quantization.as_trained(), &format!("{bits} simulated"));
        let integer = run(&mut quantization.integers().unwrap(), &format!("{bits} integer"));
        let agreement = integer.agreement(&simulated);
        println!("{bits}: agreement {agreement:.2}%");
        // 99.9% of the images, and one that may sit on the fence.
        let differ = (images as f64 * (1.0 - agreement / 100.0)).round() as usize;
        assert!(differ <= 1 + images / 1000, "{bits}: {differ} of {images} images");
        assert!(integer.top1() >= float.top1() - floor, "{bits}: {} from {}", integer.top1(), float.top1());
    }
}
