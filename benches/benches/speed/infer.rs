//! Classification by the compiled float network, and by the integer-only one on every instruction set.

use benches::normal;
use benches::table::{MULTIPLY_ADD, Peak, Work};
use engine::Inference;
use engine::kernel::Isa;
use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::{Network, QuantizedNetwork, Shortcut};
use quant::int_graph::IntEngine;
use quant::kernel::{KERNELS, of_isa};
use quant::{Policy, QuantConfig, Quantizer, Widths};

use crate::{Bench, Speeds};

const BATCH: usize = 64;

pub fn bench(speeds: &mut Speeds) {
    let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).expect("depth 20");
    let multiply_adds: usize = network.graph.multiply_adds(32).iter().map(|(_, n)| n).sum();
    // One image at a time is one thread's work.
    let bench = |kernel: String, peak, images: usize| Bench {
        group: "infer",
        kernel,
        shape: format!("ResNet-20, batch {images}"),
        work: Work::Images { images, operations: MULTIPLY_ADD * multiply_adds },
        peak,
        one_thread: images == 1,
    };
    for isa in Isa::available() {
        let compiled =
            Inference::compile(&network.graph, &network.params, [32, 32, 3], isa).expect("a ResNet-20");
        for batch in [1, BATCH] {
            let x = normal([batch, 32, 32, 3]);
            speeds.measure(bench(format!("float {}", isa.name()), Peak::Float(isa), batch), || {
                compiled.run(&x).expect("images of the right size")
            });
        }
    }
    let images: Vec<u8> = (0..BATCH * 3072).map(|i| (i * 37 % 251) as u8).collect();
    for bits in [Widths { w: 8, a: 8 }, Widths { w: 4, a: 4 }] {
        let graph = quantized(&network, bits).lower().expect("policy product");
        for kernel in KERNELS.iter().filter(|k| k.max_weight >= 128 && k.available()) {
            let engine = IntEngine::for_isa(graph.clone(), kernel.isa).expect("an available kernel");
            // Most of the work is done by the layers between the first and the last.
            let inner = of_isa(kernel.isa, 1 << (bits.w - 1)).name;
            let bench = |images| bench(format!("{bits} {inner}"), Peak::Integer(inner), images);
            let (mut workspace, mut logits) = (engine.workspace(), vec![0; 10]);
            speeds.measure(bench(1), || engine.classify(&mut workspace, &images[..3072], &mut logits));
            speeds.measure(bench(BATCH), || engine.run(&images).expect("whole images"));
        }
    }
}

/// Calibrated on noise: for speed that is as good as anything.
fn quantized(network: &Network, bits: Widths) -> QuantizedNetwork {
    let config = QuantConfig { bits, policy: Policy::Product, ..QuantConfig::default() };
    let set = noise_images(16, 6, &Normalization::TRUE, 1).expect("few images");
    let images = Loader::evaluation(&set, 16, network.normalization);
    QuantizedNetwork::calibrate(network, &Quantizer::new(config), images.epoch(0))
        .expect("finite activations")
}
