//! A whole ResNet-20 against PyTorch: first gradients, one step, the loss over ten steps. A loss curve that
//! follows another framework's finds more mistakes than any unit test.

use engine::fast::Algorithm;
use engine::ops;
use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Tape, Tensor};
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer};

use crate::fixture::{Golden, assert_close};

struct Case {
    golden: Golden,
    trainer: Trainer,
    batch: Batch,
}

fn open(shortcut: Shortcut) -> Case {
    let golden = Golden::open(&format!("resnet20_{shortcut}"));
    let mut network = Network::fresh(20, shortcut, Normalization::COURSE, 0).unwrap();
    for param in network.params.iter_mut() {
        param.value = golden.tensor(&format!("init.{}", param.name));
    }
    let (shape, pixels) = golden.bytes("batch.images_u8");
    let (n, plane) = (shape[0], shape[2] * shape[3]);
    let x = Tensor::from_fn([n, shape[2], shape[3], 3], |i| {
        let (n, p, c) = (i / 3 / plane, i / 3 % plane, i % 3);
        Normalization::COURSE.apply(c, pixels[(n * 3 + c) * plane + p])
    });
    let labels: Vec<usize> = golden.i32("batch.labels").iter().map(|&l| l as usize).collect();
    let batch = Batch { number: 0, indices: (0..n).collect(), x, labels };
    let trainer = Trainer::new(
        network.graph,
        network.params,
        Sgd::new(0.9, true, 5e-4, true),
        Schedule { base: 0.05, warmup: 0, total: 10, decay: Decay::Constant },
    )
    .with_algorithm(Algorithm::default());
    Case { golden, trainer, batch }
}

const BOTH: [Shortcut; 2] = [Shortcut::A, Shortcut::B];

#[test]
fn first_logits_and_every_gradient() {
    for shortcut in BOTH {
        let Case { golden, mut trainer, batch } = open(shortcut);
        let mut tape = Tape::new();
        let Trainer { graph, params, .. } = &mut trainer;
        let forward = graph.forward_train(params, &mut tape, batch.x, &mut Float).unwrap();
        assert_close("logits", tape.value(forward.output), &golden.tensor("step0.logits"), 1e-4);
        let loss = ops::cross_entropy(&mut tape, forward.output, &batch.labels, 0.0).unwrap();
        tape.backward(loss, Tensor::scalar(1.0)).unwrap();
        for (param, var) in params.iter().zip(&forward.params).filter(|(p, _)| p.role.trainable()) {
            let key = format!("step0.grad.{}", param.name);
            let got = tape.grad(var.expect("used")).expect("a gradient");
            assert_close(&key, got, &golden.tensor(&key), 1e-3);
        }
    }
}

#[test]
fn parameters_after_one_step() {
    for shortcut in BOTH {
        let Case { golden, mut trainer, batch } = open(shortcut);
        trainer.step(batch, &mut Float).unwrap();
        for param in trainer.params.iter() {
            let key = format!("step1.{}", param.name);
            assert_close(&key, &param.value, &golden.tensor(&key), 1e-4);
        }
    }
}

/// The losses of ten steps at learning rate `lr`, relative to `expected`.
fn curve(shortcut: Shortcut, lr: f32, expected: &[f64]) -> Vec<f64> {
    let Case { mut trainer, batch, .. } = open(shortcut);
    trainer.schedule.base = lr;
    let step = |want: &f64| {
        let got = trainer.step(batch.clone(), &mut Float).unwrap().mean_loss();
        (got / want - 1.0).abs()
    };
    expected.iter().map(step).collect()
}

/// At a learning rate where rounding does not decide the course, all ten losses agree with PyTorch's float64
/// run: within 1e-3 for option A. (Option B is the more sensitive network: PyTorch's own float32 runs, with one
/// thread, `channels_last` or without oneDNN, differ from its float64 run by up to 3.9e-3 at the last step.)
/// `loss_curves.json` was computed by PyTorch 2.15 from the same initial parameters and batch.
#[test]
fn ten_calm_steps_follow_pytorch() {
    if std::env::var_os("GOLDEN_DIR").is_some() {
        eprintln!("SKIPPED: loss_curves.json belongs to the fixtures of this repository");
        return;
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/loss_curves.json");
    let curves: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (shortcut, bounds) in [(Shortcut::A, [1e-3, 1e-3]), (Shortcut::B, [1e-3, 8e-3])] {
        let entry = &curves[shortcut.to_string()];
        let expected: Vec<f64> = serde_json::from_value(entry["losses"].clone()).unwrap();
        let relative = curve(shortcut, entry["lr"].as_f64().unwrap() as f32, &expected);
        eprintln!("option {shortcut}: {relative:?}");
        assert!(relative[..5].iter().all(|r| *r <= bounds[0]), "option {shortcut}: {relative:?}");
        assert!(relative[5..].iter().all(|r| *r <= bounds[1]), "option {shortcut}: {relative:?}");
    }
}

/// How far PyTorch 2.15 itself strays from the fixture's ten losses at learning rate 0.05, the largest relative
/// difference over its float32 with one and two threads, `channels_last`, without oneDNN, and its float64, for
/// both networks. Ten large steps on one batch are chaotic: a sign behind a ReLU that rounding flips changes the
/// gradient by 1e-5, and every step multiplies that by up to a hundred. No two ways to round stay together.
const PYTORCH_STRAYS: [f64; 10] =
    [2e-7, 2.6e-4, 1.9e-2, 2.4e-2, 4.5e-2, 1.4e-1, 5.5e-1, 3.5e-1, 3.4e-1, 6.3e-1];

#[test]
fn ten_large_steps_stay_as_close_as_pytorch_to_itself() {
    for shortcut in BOTH {
        let golden = Golden::open(&format!("resnet20_{shortcut}"));
        let expected: Vec<f64> = golden.f32("losses").into_iter().map(f64::from).collect();
        assert_eq!(expected.len(), 10);
        let relative = curve(shortcut, 0.05, &expected);
        eprintln!("option {shortcut}: {relative:?}");
        for (step, (r, strays)) in relative.iter().zip(PYTORCH_STRAYS).enumerate() {
            let bound = if step < 2 { 1e-3 } else { 2.0 * strays };
            assert!(*r <= bound, "option {shortcut}, step {step}: {r:.1e} (bound {bound:.1e})");
        }
    }
}
