//! Every convolution of ResNet-20, each pass by each algorithm, against the peak measured in the same run:
//! `cargo bench -p benches --bench layers [-- NAME]` prints one table, of one thread and of the layers NAME is in.
//!
//! Work is counted as direct convolution, so that Winograd's kernels may exceed the peak.

use std::time::{Duration, Instant};

use benches::{LAYERS, normal};
use engine::fast::{Algorithm, conv2d_backward, conv2d_forward};
use engine::kernel::{Isa, peak_flops};
use engine::ops::Conv2dShape;

const BATCH: usize = 128;
const REPEAT: usize = 9;

/// Seconds of the fastest of some runs.
fn fastest(mut f: impl FnMut()) -> f64 {
    f();
    let run = |_| {
        let start = Instant::now();
        f();
        start.elapsed().as_secs_f64()
    };
    (0..REPEAT).map(run).fold(f64::INFINITY, f64::min)
}

fn main() {
    // `cargo test --benches` runs this too; there is nothing to test here.
    if !std::env::args().any(|arg| arg == "--bench") {
        return;
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    pool.install(table);
}

fn table() {
    let isa = Isa::active();
    let peak = peak_flops(isa, Duration::from_millis(100)) / 1e9;
    println!(
        "{}, one thread, peak {peak:.1} GFLOP/s, batch {BATCH}; GFLOP/s (share of the peak)",
        isa.name()
    );
    println!("{:<14}{:<10}{:>20}{:>20}{:>20}", "layer", "algorithm", "forward", "dx", "dw");
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
    for layer in LAYERS.into_iter().filter(|layer| layer.name.contains(&wanted)) {
        let x = normal([BATCH, layer.side, layer.side, layer.c]);
        let w = normal([layer.o, layer.kernel, layer.kernel, layer.c]);
        let shape = Conv2dShape::new(x.shape(), w.shape(), layer.stride, layer.padding()).expect("a layer");
        let dy = normal(shape.y());
        let flop = 2e-9 * (BATCH * layer.multiply_adds()) as f64;
        for (name, algorithm) in [("direct", Algorithm::Direct(isa)), ("winograd", Algorithm::Winograd(isa))]
        {
            let forward = fastest(|| drop(conv2d_forward(algorithm, &shape, &x, &w, None).expect("fits")));
            let backward = |needs| fastest(|| drop(conv2d_backward(algorithm, &shape, &x, &w, &dy, needs)));
            let [forward, dx, dw] =
                [forward, backward([true, false]), backward([false, true])].map(|seconds| {
                    let speed = flop / seconds;
                    format!("{speed:.1} ({:.0}%) {:.1}us", 100.0 * speed / peak, 1e6 * seconds / BATCH as f64)
                });
            println!("{:<14}{name:<10}{forward:>20}{dx:>20}{dw:>20}", layer.name);
        }
    }
}
