//! Same seed, same bits, whatever the number of threads: three training steps of a ResNet-20 with augmentation,
//! prefetching, momentum and an average of the weights.

use engine::Float;
use engine::fast::Algorithm;
use engine::optim::{Decay, Schedule, Sgd};
use models::data::augment::{Augment, Normalization};
use models::data::cifar10::ImageSet;
use models::data::loader::Loader;
use models::{Checkpoint, Learner, Network, Shortcut, Trainer};

/// Records of a fixed pattern: what matters here is the arithmetic, not the pictures.
fn images(n: usize) -> ImageSet {
    let record =
        |i: usize| (0..3073).map(move |b| if b == 0 { (i % 10) as u8 } else { (i * 31 + b * b / 7) as u8 });
    ImageSet::from_records("a pattern", (0..n).flat_map(record).collect()).unwrap()
}

fn train(threads: usize) -> Checkpoint {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| {
        let network = Network::fresh(20, Shortcut::B, Normalization::COURSE, 7).unwrap();
        let mut trainer = Trainer::new(
            network.graph,
            network.params,
            Sgd::new(0.9, true, 5e-4, false),
            Schedule { base: 0.1, warmup: 2, total: 3, decay: Decay::Cosine { end: 0.0 } },
        )
        .with_smoothing(0.1)
        .with_algorithm(Algorithm::default())
        .with_ema(0.9);
        let loader = Loader::training(&images(57), 19, Normalization::COURSE, Augment::STANDARD, 7);
        for batch in loader.prefetch(0, 0, 2) {
            trainer.step(batch, &mut Float).unwrap();
        }
        assert_eq!(trainer.step, 3);
        trainer.state()
    })
}

#[test]
fn one_two_and_seven_threads_train_the_same_bits() {
    let one = train(1);
    assert_eq!(one, train(2));
    assert_eq!(one, train(7));
}
