//! Float matrix products of the shapes that batched convolutions of ResNet-20 have.

use benches::table::{MULTIPLY_ADD, Peak, Work};
use benches::{GEMMS, normal};
use engine::gemm::{Matrix, gemm};
use engine::kernel::Isa;

use crate::{Bench, Speeds};

pub fn bench(speeds: &mut Speeds) {
    for [m, n, k] in GEMMS {
        let (a, b) = (normal([m, k]), normal([k, n]));
        let mut y = vec![0.0; m * n];
        let bench = Bench {
            group: "gemm_f32",
            kernel: "matrixmultiply".into(), // chooses its instructions itself
            shape: format!("{m}x{n}x{k}"),
            work: Work::Operations(MULTIPLY_ADD * m * n * k),
            peak: Peak::Float(Isa::active()),
            one_thread: true,
        };
        speeds.measure(bench, || {
            gemm(Matrix::new(a.data(), m, k), Matrix::new(b.data(), k, n), 0.0, &mut y);
        });
    }
}
