//! Classification by the compiled float network, and by the integer-only one on every instruction set.

use benches::normal;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::Inference;
use engine::kernel::Isa;
use models::augment::Normalization;
use models::loader::Loader;
use models::ptq::{ActivationRule, calibrate};
use models::synthetic::noise_images;
use models::{Network, Quantization, QuantizedNetwork, Shortcut};
use quant::int_graph::IntEngine;
use quant::kernel::KERNELS;
use quant::{Policy, QuantConfig, ScaleRule};

fn bench(c: &mut Criterion) {
    let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).expect("depth 20");
    let mut group = c.benchmark_group("infer");
    group.sample_size(10);
    for isa in Isa::available() {
        let compiled =
            Inference::compile(&network.graph, &network.params, [32, 32, 3], isa).expect("a ResNet-20");
        for batch in [1, 128] {
            let x = normal([batch, 32, 32, 3]);
            group.throughput(Throughput::Elements(batch as u64)); // images
            group.bench_function(format!("float/{}/batch{batch}", isa.name()), |bench| {
                bench.iter(|| compiled.run(&x).expect("images of the right size"));
            });
        }
    }
    for bits in ["W8A8", "W4A4"] {
        let graph = quantized(&network, bits).lower().expect("policy product");
        for kernel in KERNELS.iter().filter(|k| k.max_weight >= 128 && k.available()) {
            let engine = IntEngine::for_isa(graph.clone(), kernel.isa).expect("an available kernel");
            let (mut workspace, mut logits) = (engine.workspace(), vec![0; 10]);
            let images: Vec<u8> = (0..128 * 3072).map(|i| (i * 37 % 251) as u8).collect();
            group.throughput(Throughput::Elements(1));
            group.bench_function(format!("{bits}/{}/batch1", kernel.isa), |bench| {
                bench.iter(|| engine.classify(&mut workspace, &images[..3072], &mut logits));
            });
            group.throughput(Throughput::Elements(128));
            group.bench_function(format!("{bits}/{}/batch128", kernel.isa), |bench| {
                bench.iter(|| engine.run(&images).expect("whole images"));
            });
        }
    }
    group.finish();
}

/// Calibrated on noise: for speed that is as good as anything.
fn quantized(network: &Network, bits: &str) -> QuantizedNetwork {
    let config = QuantConfig {
        bits: bits.parse().expect("widths"),
        policy: Policy::Product,
        ..QuantConfig::default()
    };
    let plan = config.policy.plan(&network.graph, config.bits);
    let set = noise_images(16, 6, &Normalization::TRUE, 1).expect("few images");
    let images = Loader::evaluation(&set, 16, network.normalization);
    let rule = ActivationRule::Scale(ScaleRule::SYMMETRIC);
    let ranges = calibrate(network, &plan, rule, images.epoch(0)).expect("finite activations");
    QuantizedNetwork { network: network.clone(), quantization: Quantization { config, plan, ranges } }
}

criterion_group!(inference, bench);
criterion_main!(inference);
