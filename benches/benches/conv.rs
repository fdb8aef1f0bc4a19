//! Every convolution of ResNet-20, forward and backward, on every instruction set of this machine and by im2col.

use benches::{LAYERS, normal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::fast::{Algorithm, conv2d_backward, conv2d_forward};
use engine::kernel::Isa;
use engine::ops::Conv2dShape;

const BATCH: usize = 32;

fn bench(c: &mut Criterion) {
    let mut algorithms = vec![("im2col", Algorithm::Im2col)];
    algorithms.extend(Isa::available().map(|isa| (isa.name(), Algorithm::Direct(isa))));
    for layer in LAYERS {
        let x = normal([BATCH, layer.side, layer.side, layer.c]);
        let w = normal([layer.o, layer.kernel, layer.kernel, layer.c]);
        let shape = Conv2dShape::new(x.shape(), w.shape(), layer.stride, layer.padding()).expect("a layer");
        let dy = normal(shape.y());
        let mut group = c.benchmark_group(format!("conv/{}", layer.name));
        group.sample_size(10).throughput(Throughput::Elements(2 * (BATCH * layer.multiply_adds()) as u64)); // FLOP
        for (name, algorithm) in &algorithms {
            group.bench_function(format!("forward/{name}"), |bench| {
                bench.iter(|| conv2d_forward(*algorithm, &shape, &x, &w, None).expect("fits"));
            });
            for (what, needs) in [("dx", [true, false]), ("dw", [false, true])] {
                group.bench_function(format!("{what}/{name}"), |bench| {
                    bench.iter(|| conv2d_backward(*algorithm, &shape, &x, &w, &dy, needs));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(convolutions, bench);
criterion_main!(convolutions);
