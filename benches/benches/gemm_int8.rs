//! Integer matrix products u8 x s8 -> s32 on every micro-kernel of this machine.

use benches::{GEMMS, codes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quant::integer::linear::integer_linear_with;
use quant::kernel::KERNELS;
use quant::{IntTensor, PackedWeights};

fn bench(c: &mut Criterion) {
    let mut group = c.benchmark_group("gemm_int8");
    group.sample_size(10);
    for [m, n, k] in GEMMS {
        let x: Vec<u8> = codes(m * k, 0, 255).map(|v| v as u8).collect();
        let w: Vec<i8> = codes(n * k, -128, 127).map(|v| v as i8).collect();
        let x = IntTensor::from_vec([m, k], x).expect("m * k codes");
        let w = |shift| w.iter().map(|w| w >> shift).collect::<Vec<i8>>();
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64)); // operations
        for kernel in KERNELS.iter().filter(|k| k.available()) {
            let w = IntTensor::from_vec([n, k], w(u32::from(kernel.max_weight < 128))).expect("n * k codes");
            let w = PackedWeights::pack_for(kernel, w).expect("weights in range");
            group.bench_function(format!("{}/{m}x{n}x{k}", kernel.name), |bench| {
                bench.iter(|| integer_linear_with(kernel, &x, 0, &w, None).expect("fits"));
            });
        }
    }
    group.finish();
}

criterion_group!(gemms, bench);
criterion_main!(gemms);
