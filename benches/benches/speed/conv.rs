//! Every convolution of ResNet-20, forward and both gradients, by every algorithm of the instruction set in use; one
//! of the layers on the other instruction sets too.

use benches::table::{MULTIPLY_ADD, Peak, Work};
use benches::{LAYERS, normal};
use engine::fast::{Algorithm, conv2d_backward, conv2d_forward};
use engine::kernel::Isa;
use engine::ops::Conv2dShape;

use crate::{Bench, Speeds};

const BATCH: usize = 32;
/// The layer that is measured on every instruction set.
const EVERYWHERE: &str = "stage2";

pub fn bench(speeds: &mut Speeds) {
    for layer in LAYERS {
        let x = normal([BATCH, layer.side, layer.side, layer.c]);
        let w = normal([layer.o, layer.kernel, layer.kernel, layer.c]);
        let shape = Conv2dShape::new(x.shape(), w.shape(), layer.stride, layer.padding()).expect("a layer");
        let dy = normal(shape.y());
        let active = Isa::active();
        let mut algorithms = vec![("im2col".to_owned(), Algorithm::Im2col, active)];
        for isa in Isa::available().filter(|isa| *isa == active || layer.name == EVERYWHERE) {
            algorithms.push((format!("direct {}", isa.name()), Algorithm::Direct(isa), isa));
            if layer.winograd_applies() {
                algorithms.push((format!("winograd {}", isa.name()), Algorithm::Winograd(isa), isa));
            }
        }
        for (kernel, algorithm, isa) in algorithms {
            let bench = |group| Bench {
                group,
                kernel: kernel.clone(),
                shape: format!("{} x {BATCH}", layer.name),
                work: Work::Operations(MULTIPLY_ADD * BATCH * layer.multiply_adds()),
                peak: Peak::Float(isa),
                one_thread: true,
            };
            speeds.measure(bench("conv_forward"), || {
                conv2d_forward(algorithm, &shape, &x, &w, None).expect("fits")
            });
            for (group, needs) in [("conv_dx", [true, false]), ("conv_dw", [false, true])] {
                speeds.measure(bench(group), || conv2d_backward(algorithm, &shape, &x, &w, &dy, needs));
            }
        }
    }
}
