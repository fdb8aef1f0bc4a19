//! The search for variable precision, on functions whose best answer is known.

use std::convert::Infallible;

use quant::mixed::{LayerSize, Options, SearchOutcome, search, size_bytes};

fn layers(weights: &[usize]) -> Vec<LayerSize> {
    let layer = |(i, &weights): (usize, &usize)| LayerSize { name: format!("layer{i}"), weights, scales: 1 };
    weights.iter().enumerate().map(layer).collect()
}

fn run(layers: &[LayerSize], options: Options, f: impl Fn(&[u32]) -> f64) -> SearchOutcome {
    let mut asked = std::collections::HashSet::new();
    search(layers, options, |bits: &[u32]| {
        assert!(asked.insert(bits.to_vec()), "{bits:?} was measured twice");
        Ok::<_, Infallible>(f(bits))
    })
    .unwrap()
}

/// Each layer's drop is `weight * 4^-b`; drops add up.
fn additive(sensitivity: &[f64]) -> impl Fn(&[u32]) -> f64 + '_ {
    |bits| 95.0 - sensitivity.iter().zip(bits).map(|(s, &b)| s * 0.25f64.powi(b as i32)).sum::<f64>()
}

#[test]
fn finds_what_exhaustion_finds() {
    let layers = layers(&[100, 4000, 900, 2000]);
    let accuracy = additive(&[400.0, 20.0, 90.0, 5.0]);
    let options = Options { floor: 85.0, min_bits: 1, max_bits: 8, evaluations: 400 };
    let outcome = run(&layers, options, &accuracy);
    let every = (0..4096u32).map(|i| [i % 8 + 1, i / 8 % 8 + 1, i / 64 % 8 + 1, i / 512 + 1]);
    let smallest = every.filter(|b| accuracy(b) >= 85.0).map(|b| size_bytes(&layers, &b)).min().unwrap();
    let best = outcome.best.unwrap();
    assert!(best.accuracy >= 85.0);
    assert_eq!(best.bytes, size_bytes(&layers, &best.bits));
    assert_eq!(best.bytes, smallest, "{best:?}");
    assert_eq!(outcome.baseline, accuracy(&[8; 4]));
    assert_eq!(outcome.sensitivity[0][2], accuracy(&[3, 8, 8, 8]));
}

#[test]
fn the_front_is_not_beaten() {
    let layers = layers(&[100, 4000, 900, 2000]);
    let outcome = run(
        &layers,
        Options { floor: 85.0, min_bits: 2, max_bits: 8, evaluations: 50 },
        additive(&[400.0, 20.0, 90.0, 5.0]),
    );
    assert!(outcome.front.len() > 2);
    for pair in outcome.front.windows(2) {
        assert!(pair[0].bytes < pair[1].bytes && pair[0].accuracy < pair[1].accuracy);
    }
    assert!(outcome.front.iter().all(|p| p.bits.iter().all(|b| (2..=8).contains(b))));
    // 28 of the sensitivity (four of them the baseline), 50 of the search.
    assert!(outcome.evaluations <= 25 + 50);
}

#[test]
fn an_unreachable_floor_gives_nothing() {
    let options = Options { floor: 99.0, min_bits: 1, max_bits: 8, evaluations: 50 };
    assert!(run(&layers(&[10, 20]), options, additive(&[1.0, 1.0])).best.is_none());
}

#[test]
fn a_failed_evaluation_ends_the_search() {
    let options = Options { floor: 0.0, min_bits: 1, max_bits: 8, evaluations: 5 };
    assert_eq!(search(&layers(&[10]), options, |_: &[u32]| Err("broken")), Err("broken"));
}
