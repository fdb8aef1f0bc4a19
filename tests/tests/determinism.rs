//! Same seed, same bits, whatever the number of threads: training steps of a ResNet-20 with augmentation, prefetching,
//! momentum and an average of the weights, in floats and under fake quantization.
//!
//! Between instruction sets of one processor: those with fused multiply-add sum in one order and train the same bits. The
//! scalar path rounds products too, so that its float sums differ in the last digits, now and then an activation lands on
//! the other side of zero, and from there the two drift apart. What is promised of it is one step: weights apart by at most a
//! thousandth of their tensor's largest. (Integers are the same bits everywhere: `checksum.rs`.)
//!
//! The usual test takes 3 steps; `DETERMINISM=all cargo test --release -p tests --test determinism -- --nocapture` takes 50, and more
//! numbers of threads.

use engine::fast::Algorithm;
use engine::kernel::Isa;
use engine::optim::{Decay, Schedule, Sgd};
use engine::{Float, Hook, Tensor};
use models::data::augment::{Augment, Normalization};
use models::data::cifar10::ImageSet;
use models::data::loader::Loader;
use models::{Checkpoint, Learner, Network, Shortcut, Trainer};
use quant::{FakeQuantHook, Policy, QuantConfig, Quantization};

const BATCH: usize = 19;

/// Whether to take 50 steps.
fn all() -> bool {
    std::env::var("DETERMINISM").is_ok_and(|what| what == "all")
}

/// Records of a fixed pattern: what matters here is the arithmetic, not the pictures.
fn images(n: usize) -> ImageSet {
    let record =
        |i: usize| (0..3073).map(move |b| if b == 0 { (i % 10) as u8 } else { (i * 31 + b * b / 7) as u8 });
    ImageSet::from_records("a pattern", (0..n).flat_map(record).collect()).unwrap()
}

/// The state after `steps` steps; in floats, or with weights and activations of `bits`.
fn train(threads: usize, algorithm: Algorithm, steps: usize, bits: Option<&str>) -> Checkpoint {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 7).unwrap();
        let mut hook: Box<dyn Hook> = match bits {
            None => Box::new(Float),
            Some(bits) => {
                let config = QuantConfig { bits: bits.parse().unwrap(), ..QuantConfig::default() };
                let plan = Policy::Course.plan(&network.graph, config.bits);
                Box::new(FakeQuantHook::new(Quantization::new(config, plan), true))
            }
        };
        let mut trainer = Trainer::new(
            network.graph,
            network.params,
            Sgd::new(0.9, true, 5e-4, false),
            Schedule { base: 0.1, warmup: 2, total: steps, decay: Decay::Cosine { end: 0.0 } },
        )
        .with_smoothing(0.1)
        .with_algorithm(algorithm)
        .with_ema(0.9);
        let loader =
            Loader::training(&images(steps * BATCH), BATCH, Normalization::COURSE, Augment::STANDARD, 7);
        for batch in loader.prefetch(0, 0, 2) {
            trainer.step(batch, hook.as_mut()).unwrap();
        }
        assert_eq!(trainer.step, steps);
        trainer.state()
    })
}

#[test]
fn any_number_of_threads_trains_the_same_bits() {
    let (steps, threads): (_, &[usize]) = if all() { (50, &[2, 3, 4, 7, 8, 16]) } else { (3, &[2, 7]) };
    for bits in [None, Some("W4A4")] {
        let one = train(1, Algorithm::default(), steps, bits);
        assert!(all().then(|| train(1, Algorithm::default(), steps, bits)).is_none_or(|again| again == one));
        for &threads in threads {
            assert!(one == train(threads, Algorithm::default(), steps, bits), "{threads} threads, {bits:?}");
        }
        eprintln!("{steps} steps, {bits:?}: the same bits with 1 and {threads:?} threads");
    }
}

#[test]
fn instruction_sets_train_the_same_network_to_the_last_digits() {
    let steps = if all() { 50 } else { 2 };
    for algorithm in [Algorithm::Direct, Algorithm::Winograd] {
        let mut first = None;
        for isa in Isa::available() {
            let one = train(2, algorithm(isa), 1, None);
            let (first_name, first_one, first_all) =
                first.get_or_insert_with(|| (isa, one.clone(), train(2, algorithm(isa), steps, None)));
            let apart = largest_difference(first_one, &one);
            eprintln!("{:?} and {first_name:?}: weights {apart:e} apart after a step", algorithm(isa));
            if isa.name() == "scalar" {
                assert!(apart <= 1e-3, "{:?}: {apart}", algorithm(isa));
            } else {
                let same = *first_all == train(2, algorithm(isa), steps, None);
                assert!(same, "{:?} and {first_name:?} differ after {steps} steps", algorithm(isa));
            }
        }
    }
}

/// Of all weights, as a share of the largest of their tensor.
fn largest_difference(a: &Checkpoint, b: &Checkpoint) -> f32 {
    let mut largest = 0f32;
    let weights = |(name, _): &&(String, Tensor)| name.ends_with(".weight") && !name.starts_with("momentum.");
    for ((name, x), (same, y)) in a.tensors.iter().filter(weights).zip(b.tensors.iter().filter(weights)) {
        assert_eq!(name, same);
        let scale = x.data().iter().fold(0f32, |m, v| m.max(v.abs()));
        let apart = x.data().iter().zip(y.data()).fold(0f32, |m, (x, y)| m.max((x - y).abs()));
        largest = largest.max(apart / scale);
    }
    largest
}
