//! Integer matrix products u8 x s8 -> s32 on every micro-kernel of this machine, each with weights as large as it is
//! exact for.

use benches::table::{MULTIPLY_ADD, Peak, Work};
use benches::{GEMMS, codes};
use quant::integer::linear::integer_linear_with;
use quant::kernel::KERNELS;
use quant::{IntTensor, PackedWeights};

use crate::{Bench, Speeds};

pub fn bench(speeds: &mut Speeds) {
    for kernel in KERNELS.iter().filter(|kernel| kernel.available()) {
        let most = kernel.max_weight;
        for [m, n, k] in GEMMS {
            let x = codes(m * k, 0, 255).map(|v| v as u8).collect();
            let x = IntTensor::from_vec([m, k], x).expect("m * k codes");
            let w = codes(n * k, -most, most.min(127)).map(|v| v as i8).collect();
            let w = IntTensor::from_vec([n, k], w).expect("n * k codes");
            let w = PackedWeights::pack_for(kernel, w).expect("weights in the kernel's range");
            let bench = Bench {
                group: "gemm_int8",
                kernel: format!("{} w<={most}", kernel.name),
                shape: format!("{m}x{n}x{k}"),
                work: Work::Operations(MULTIPLY_ADD * m * n * k),
                peak: Peak::Integer(kernel.name),
                one_thread: true,
            };
            speeds.measure(bench, || integer_linear_with(kernel, &x, 0, &w, None).expect("fits"));
        }
    }
}
