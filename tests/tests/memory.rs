//! What a training step of ResNet-20 at batch 128 takes from the allocator: at most 600 MiB at its peak, and after the
//! first step nothing but small change (the arena serves every tensor). What an image takes in integers: nothing.
#![allow(unsafe_code)] // an allocator that counts is an unsafe trait to implement

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Hook, Tensor};
use models::assets::INTEGER_MODEL;
use models::data::augment::Normalization;
use models::data::loader::Batch;
use models::{Network, Shortcut, Trainer, formats::int_model};
use quant::int_graph::IntEngine;
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization};

/// The system's allocator, counting.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came; counters change nothing about it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        LARGEST.fetch_max(layout.size(), Relaxed);
        CALLS.fetch_add(1, Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's contract.
        unsafe { System.dealloc(p, layout) }
    }
}

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
    let before = CALLS.load(Relaxed);
    engine.classify(&mut workspace, &[200; 3072], &mut logits);
    assert_eq!(CALLS.load(Relaxed) - before, 0);
}

fn a_step_at_batch_128_stays_below_600_mib_and_later_ones_allocate_only_small_change() {
    let x = Tensor::from_fn([BATCH, 32, 32, 3], |i| (i % 17) as f32 / 8.0 - 1.0);
    for quantized in [false, true] {
        engine::clear_arena();
        PEAK.store(LIVE.load(Relaxed), Relaxed);
        let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 1).unwrap();
        let mut trainer = Trainer::new(
            network.graph,
            network.params,
            Sgd::new(0.9, true, 5e-4, false),
            Schedule { base: 0.01, warmup: 0, total: 9, decay: Decay::Constant },
        )
        .with_smoothing(0.1);
        let config = QuantConfig::default();
        let plan = Policy::Course.plan(&trainer.graph, config.bits);
        let mut fake = FakeQuantHook::new(Quantization::new(config, plan), true);
        let hook: &mut dyn Hook = if quantized { &mut fake } else { &mut Float };
        step(&mut trainer, hook, &x);
        // The second step may meet another order of tasks, and so ask for a thread's first buffer.
        step(&mut trainer, hook, &x);
        LARGEST.store(0, Relaxed);
        step(&mut trainer, hook, &x);
        let (peak, largest) = (PEAK.load(Relaxed), LARGEST.load(Relaxed));
        eprintln!("quantized {quantized}: peak {} MiB, then at most {largest} bytes at once", peak >> 20);
        assert!(peak <= 600 << 20, "quantized {quantized}: {} MiB", peak >> 20);
        assert!(
            largest <= SMALL_CHANGE,
            "quantized {quantized}: allocated {largest} bytes in the third step"
        );
    }
}
