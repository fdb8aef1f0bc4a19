//! What a training step of ResNet-20 at batch 128 takes from the allocator: at most 600 MiB at its peak, and after the
//! first step nothing but small change (the arena serves every tensor). What an image takes in integers: nothing.

use std::path::Path;

use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Hook, Tensor};
use models::assets::INTEGER_MODEL;
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer, formats::int_model};
use quant::int_graph::IntEngine;
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization};
use tests::counting::{Counting, measure};

#[global_allocator]
static COUNTING: Counting = Counting;

const BATCH: usize = 128;
/// Lists of a step (nodes of the tape, sums of each image) stay below this; a tensor of activations has megabytes.
const SMALL_CHANGE: usize = 64 << 10;

fn step(trainer: &mut Trainer, hook: &mut dyn Hook, x: &Tensor) {
    let labels = (0..BATCH).map(|i| i % 10).collect();
    let batch = Batch { number: 0, indices: (0..BATCH).collect(), x: x.clone(), labels };
    trainer.step(batch, hook).unwrap();
}

/// Both parts, because the counters are shared.
#[test]
fn training_and_classifying_take_what_they_should() {
    a_step_at_batch_128_stays_below_600_mib_and_later_ones_allocate_only_small_change();
    an_image_in_integers_allocates_nothing();
}

fn an_image_in_integers_allocates_nothing() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/assets").join(INTEGER_MODEL);
    let engine = IntEngine::new(int_model::read(&model).unwrap().0).unwrap();
    let (mut workspace, mut logits) = (engine.workspace(), [0; 10]);
    // The first image may make room that later ones use.
    engine.classify(&mut workspace, &[1; 3072], &mut logits);
    let (_, allocated) = measure(|| engine.classify(&mut workspace, &[200; 3072], &mut logits));
    assert_eq!(allocated.calls, 0);
}

fn a_step_at_batch_128_stays_below_600_mib_and_later_ones_allocate_only_small_change() {
    let x = Tensor::from_fn([BATCH, 32, 32, 3], |i| (i % 17) as f32 / 8.0 - 1.0);
    for quantized in [false, true] {
        engine::clear_arena();
        let config = QuantConfig::default();
        let (mut float, mut fake) = (Float, None);
        let (mut trainer, beginning) = measure(|| {
            let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).unwrap();
            let plan = Policy::Course.plan(&network.graph, config.bits);
            fake = quantized.then(|| FakeQuantHook::new(Quantization::new(config, plan), true));
            let schedule = Schedule { base: 0.01, warmup: 0, total: 9, decay: Decay::Constant };
            let sgd = Sgd::new(0.9, true, 5e-4, false);
            let mut trainer = Trainer::new(network.graph, network.params, sgd, schedule).with_smoothing(0.1);
            let hook = fake.as_mut().map_or(&mut float as &mut dyn Hook, |fake| fake);
            step(&mut trainer, hook, &x);
            // The second step may meet another order of tasks, and so ask for a thread's first buffer.
            step(&mut trainer, hook, &x);
            trainer
        });
        let hook = fake.as_mut().map_or(&mut float as &mut dyn Hook, |fake| fake);
        let ((), third) = measure(|| step(&mut trainer, hook, &x));
        let (peak, largest) = (beginning.peak, third.largest);
        eprintln!("quantized {quantized}: peak {} MiB, then at most {largest} bytes at once", peak >> 20);
        assert!(peak <= 600 << 20, "quantized {quantized}: {} MiB", peak >> 20);
        assert!(
            largest <= SMALL_CHANGE,
            "quantized {quantized}: allocated {largest} bytes in the third step"
        );
    }
}
