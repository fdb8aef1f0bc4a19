//! Classification by the compiled float network.

use benches::normal;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::Inference;
use engine::kernel::Isa;
use models::augment::Normalization;
use models::{Network, Shortcut};

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
    group.finish();
}

criterion_group!(inference, bench);
criterion_main!(inference);
