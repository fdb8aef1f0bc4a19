//! Same seed, same bits, whatever the number of threads: training steps of a ResNet-20 with augmentation, prefetching,
//! momentum and an average of the weights, in floats and under fake quantization.
//!
//! Between instruction sets of one processor: those with fused multiply-add sum in one order and train the same bits, each in a
//! process of its own, where every operation uses it. The scalar path rounds products too, so that its float sums differ in the
//! last digits, now and then an activation lands on the other side of zero, and from there the two drift apart. What is promised of it is one step: weights apart by at most a
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
use quant::{FakeQuantHook, Granularity, Policy, QuantConfig, Quantization, Range, Ranges, StepRule};

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

/// What is trained under: floats, widths, widths with learned steps.
const QUANTIZED: [Option<(&str, StepRule)>; 3] =
    [None, Some(("W4A4", StepRule::Rule)), Some(("W2A2", StepRule::Lsq))];

/// The state after `steps` steps; in floats, or with weights and activations of some bits.
fn train(
    threads: usize,
    algorithm: Algorithm,
    steps: usize,
    quantized: Option<(&str, StepRule)>,
) -> Checkpoint {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 7).unwrap();
        let mut hook: Box<dyn Hook> = match quantized {
            None => Box::new(Float),
            Some((bits, step)) => {
                let bits = bits.parse().unwrap();
                let weight_granularity = match step {
                    StepRule::Lsq => Granularity::PerChannel,
                    _ => Granularity::PerTensor,
                };
                let config = QuantConfig {
                    bits,
                    weight_step: step,
                    weight_granularity,
                    activation_step: step,
                    ..QuantConfig::default()
                };
                let plan = Policy::Course.plan(&network.graph, config.bits);
                let mut quantization = Quantization::new(config, plan);
                let ranges = quantization
                    .plan
                    .inputs()
                    .map(|(layer, _)| (layer.to_owned(), Range { min: 0.0, max: 2.0 }));
                quantization.ranges = Ranges(ranges.collect());
                Box::new(FakeQuantHook::new(quantization, true))
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
    for bits in QUANTIZED {
        let algorithm = Algorithm::Winograd(Isa::active()); // as the command line trains
        let one = train(1, algorithm, steps, bits);
        assert!(all().then(|| train(1, algorithm, steps, bits)).is_none_or(|again| again == one));
        for &threads in threads {
            assert!(one == train(threads, algorithm, steps, bits), "{threads} threads, {bits:?}");
        }
        eprintln!("{steps} steps, {bits:?}: the same bits with 1 and {threads:?} threads");
    }
}

/// What [`every_operation_trains_the_same_bits_on_instruction_sets_that_fuse`] starts anew for each of them: checksums of the states.
#[test]
#[ignore = "is started by another test, for each instruction set"]
fn checksums_of_training() {
    let steps = if all() { 50 } else { 2 };
    for bits in QUANTIZED {
        let state = train(2, Algorithm::Winograd(Isa::active()), steps, bits);
        let mut hash = crc32fast::Hasher::new();
        for (name, tensor) in &state.tensors {
            hash.update(name.as_bytes());
            tensor.data().iter().for_each(|v| hash.update(&v.to_bits().to_le_bytes()));
        }
        println!("checksum {bits:?} {:08x}", hash.finalize());
    }
}

#[test]
fn every_operation_trains_the_same_bits_on_instruction_sets_that_fuse() {
    let mut first = None;
    for isa in Isa::available().filter(|isa| isa.name() != "scalar") {
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "checksums_of_training", "--ignored", "--nocapture"])
            .env("QUANT_ISA", isa.name())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        let sums: Vec<String> =
            said.lines().filter_map(|line| Some(line[line.find("checksum ")?..].to_owned())).collect();
        assert!(child.status.success() && sums.len() == QUANTIZED.len(), "{child:?}");
        eprintln!("{}: {sums:?}", isa.name());
        let (name, expected) = first.get_or_insert_with(|| (isa.name(), sums.clone()));
        assert_eq!(&sums, expected, "{} and {name}", isa.name());
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
