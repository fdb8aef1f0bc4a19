//! A whole training step of ResNet-20, in floats and with fake quantization everywhere, by both fast algorithms.

use benches::normal;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::fast::Algorithm;
use engine::kernel::Isa;
use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Hook};
use models::augment::Normalization;
use models::loader::Batch;
use models::{Network, Shortcut, Trainer};
use quant::{FakeQuantHook, Policy, QuantConfig, Ranges};

const BATCH: usize = 128;

fn trainer(algorithm: Algorithm) -> Trainer {
    Trainer {
        network: Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).expect("depth 20"),
        sgd: Sgd::new(0.9, true, 5e-4, false),
        schedule: Schedule { base: 0.01, warmup: 0, total: 1, decay: Decay::Constant },
        smoothing: 0.1,
        algorithm,
        ema: None,
        step: 0,
    }
}

fn batch() -> Batch {
    let labels = (0..BATCH).map(|i| i % 10).collect();
    Batch { number: 0, indices: (0..BATCH).collect(), x: normal([BATCH, 32, 32, 3]), labels }
}

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("train_step");
    group.sample_size(10).throughput(Throughput::Elements(BATCH as u64)); // images
    let mut run = |name: &str, mut trainer: Trainer, hook: &mut dyn Hook| {
        group.bench_function(name, |bench| {
            let size = criterion::BatchSize::PerIteration;
            bench.iter_batched(batch, |batch| trainer.step(batch, hook).expect("a step"), size);
        });
    };
    let isa = Isa::active();
    for (name, algorithm) in [("direct", Algorithm::Direct(isa)), ("winograd", Algorithm::Winograd(isa))] {
        run(&format!("float/{name}"), trainer(algorithm), &mut Float);
        let trainer = trainer(algorithm);
        let config = QuantConfig::default();
        let plan = Policy::Course.plan(&trainer.network.graph, config.bits);
        let mut hook = FakeQuantHook::new(config, plan, Ranges::default(), true);
        run(&format!("qat_w8a8/{name}"), trainer, &mut hook);
    }
    group.finish();
}

criterion_group!(steps, bench);
criterion_main!(steps);
