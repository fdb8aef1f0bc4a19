//! Float matrix products of the shapes that batched convolutions of ResNet-20 have (one thread).

use benches::{GEMMS, normal};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use engine::gemm::{Matrix, gemm};

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm_f32");
    group.sample_size(10);
    for [m, n, k] in GEMMS {
        let (a, b) = (normal([m, k]), normal([k, n]));
        let mut y = vec![0.0; m * n];
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64)); // FLOP
        group.bench_function(format!("{m}x{n}x{k}"), |bench| {
            bench.iter(|| gemm(Matrix::new(a.data(), m, k), Matrix::new(b.data(), k, n), 0.0, &mut y));
        });
    }
    group.finish();
}

criterion_group!(gemms, bench);
criterion_main!(gemms);
