//! The compiled float network equals the interpreted graph: both shortcuts, every instruction set, any batch.

use engine::kernel::Isa;
use engine::rng::{Purpose, Rng};
use engine::{Float, Inference, Role, Tensor};
use models::data::augment::Normalization;
use models::{Network, Shortcut};

/// A network whose batch norms do something: random statistics and coefficients.
fn network(shortcut: Shortcut) -> Network {
    let mut network = Network::fresh(8, shortcut, Normalization::COURSE, 3).unwrap();
    let mut rng = Rng::at(5, Purpose::Test, 0, 0);
    for param in network.params.iter_mut().filter(|p| matches!(p.role, Role::Norm | Role::Running)) {
        param.value.data_mut().iter_mut().for_each(|v| *v = 0.5 + rng.uniform());
    }
    network
}

#[test]
fn compiled_equals_interpreted() {
    let mut rng = Rng::at(5, Purpose::Test, 0, 1);
    let x = Tensor::from_fn([3, 32, 32, 3], |_| rng.normal());
    for shortcut in [Shortcut::A, Shortcut::B] {
        let network = network(shortcut);
        let expected = network.graph.infer(&network.params, x.clone(), &mut Float).unwrap();
        let scale = expected.data().iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for name in Isa::ALL {
            let Some(isa) = Isa::find(name) else {
                eprintln!("SKIPPED: this machine has no {name}");
                continue;
            };
            let compiled = Inference::compile(&network.graph, &network.params, [32, 32, 3], isa).unwrap();
            // Twice: buffers are reused, and nothing may linger in them.
            for _ in 0..2 {
                let got = compiled.run(&x).unwrap();
                for (a, b) in got.data().iter().zip(expected.data()) {
                    assert!((a - b).abs() <= 1e-5 * scale, "option {shortcut}, {name}: {a} instead of {b}");
                }
            }
        }
    }
}

#[test]
fn images_of_another_size_are_refused() {
    let network = network(Shortcut::B);
    let compiled = Inference::compile(&network.graph, &network.params, [32, 32, 3], Isa::active()).unwrap();
    let error = compiled.run(&Tensor::zeros([1, 28, 28, 3])).unwrap_err().to_string();
    assert_eq!(error, "inference: compiled for images [N, 32, 32, 3], got [1, 28, 28, 3]");
}
