//! Fake quantization of activations inside the convolution is the same computation as before it: same bits.

use engine::fast::Algorithm;
use engine::kernel::Isa;
use engine::optim::{Decay, Schedule, Sgd};
use engine::{Hook, Input, LayerQuant, Node, Operands, Params, Result, Tape, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer};
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization, Ste};

/// The hook with its inputs quantized by an operation of their own.
struct Apart(FakeQuantHook);

impl Hook for Apart {
    fn layer(&mut self, tape: &mut Tape, node: &Node, operands: Operands) -> Result<LayerQuant> {
        let mut layer = self.0.layer(tape, node, operands)?;
        if let Input::Map(map) = layer.input {
            layer.input = Input::Value(map.record(tape, operands.x.var)?);
        }
        Ok(layer)
    }
}

fn train(
    bits: &str,
    activation_ste: Ste,
    algorithm: Algorithm,
    wrap: impl Fn(FakeQuantHook) -> Box<dyn Hook>,
) -> Params {
    let network = Network::fresh(8, Shortcut::B, Normalization::COURSE, 7).unwrap();
    let config = QuantConfig { bits: bits.parse().unwrap(), activation_ste, ..QuantConfig::default() };
    let plan = Policy::Course.plan(&network.graph, config.bits);
    let mut hook = wrap(FakeQuantHook::new(Quantization::new(config, plan), true));
    let mut trainer = Trainer::new(
        network.graph,
        network.params,
        Sgd::new(0.9, true, 5e-4, false),
        Schedule { base: 0.1, warmup: 0, total: 2, decay: Decay::Constant },
    )
    .with_algorithm(algorithm);
    for number in 0..2 {
        let x = Tensor::from_fn([5, 32, 32, 3], |i| ((i * 37 + number * 11) % 101) as f32 / 25.0 - 2.0);
        let labels = (0..5).collect();
        trainer.step(Batch { number, indices: (0..5).collect(), x, labels }, hook.as_mut()).unwrap();
    }
    trainer.params
}

#[test]
fn inside_the_convolution_or_before_it_the_bits_are_the_same() {
    let isa = Isa::active();
    for algorithm in [Algorithm::Direct(isa), Algorithm::Winograd(isa)] {
        for bits in ["W8A8", "W2A2", "W4A12"] {
            let [clipped, identity] = [Ste::Clipped, Ste::Identity].map(|ste| {
                let inside = train(bits, ste, algorithm, |hook| Box::new(hook));
                let apart = train(bits, ste, algorithm, |hook| Box::new(Apart(hook)));
                assert_eq!(inside, apart, "{bits} {ste:?} {algorithm:?}");
                inside
            });
            assert_ne!(clipped, identity, "{bits} {algorithm:?}: what clips has no gradient, or one");
        }
    }
}
