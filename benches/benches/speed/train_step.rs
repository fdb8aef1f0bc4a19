//! A whole training step of ResNet-20, in floats and with fake quantization everywhere, by both fast algorithms.

use benches::normal;
use benches::table::{MULTIPLY_ADD, Peak, Work};
use engine::fast::Algorithm;
use engine::kernel::Isa;
use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Hook};
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer};
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization};

use crate::{Bench, Speeds};

const BATCH: usize = 128;

pub fn bench(speeds: &mut Speeds) {
    let isa = Isa::active();
    for (name, algorithm) in [("direct", Algorithm::Direct(isa)), ("winograd", Algorithm::Winograd(isa))] {
        let kernel = format!("{name} {}", isa.name());
        step(speeds, format!("float {kernel}"), algorithm, |_| Float);
        step(speeds, format!("W8A8 {kernel}"), algorithm, |network| {
            let config = QuantConfig::default();
            let plan = Policy::Course.plan(&network.graph, config.bits);
            FakeQuantHook::new(Quantization::new(config, plan), true)
        });
    }
}

/// Times steps with this hook.
fn step<H: Hook + Send>(
    speeds: &mut Speeds,
    kernel: String,
    algorithm: Algorithm,
    hook: impl FnOnce(&Network) -> H,
) {
    let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).expect("depth 20");
    let mut trainer = Trainer::new(
        network.graph.clone(),
        network.params.clone(),
        Sgd::new(0.9, true, 5e-4, false),
        Schedule { base: 0.01, warmup: 0, total: 1, decay: Decay::Constant },
    )
    .with_smoothing(0.1)
    .with_algorithm(algorithm);
    let mut hook = hook(&network);
    let layers = network.graph.multiply_adds(32);
    let forward: usize = layers.iter().map(|(_, n)| n).sum();
    let bench = Bench {
        group: "train_step",
        kernel,
        shape: format!("ResNet-20, batch {BATCH}"),
        // Forward and both gradients; nobody wants that of the images.
        work: Work::Images { images: BATCH, operations: MULTIPLY_ADD * (3 * forward - layers[0].1) },
        peak: Peak::Float(Isa::active()),
        one_thread: false,
    };
    let (x, labels): (_, Vec<usize>) = (normal([BATCH, 32, 32, 3]), (0..BATCH).map(|i| i % 10).collect());
    speeds.measure(bench, || {
        let indices = (0..BATCH).collect();
        let batch = Batch { number: 0, indices, x: x.clone(), labels: labels.clone() };
        trainer.step(batch, &mut hook).expect("a step")
    });
}
