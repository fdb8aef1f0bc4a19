//! The searches for variable precision, on functions whose best answer is known.

use std::collections::HashSet;
use std::convert::Infallible;

use quant::mixed::sensitivity::Sensitivity;
use quant::mixed::{
    Goal, LayerSize, Limits, NO_NETWORK, Outcome, SEARCHERS, Searcher, Trials, search, searcher, size_bytes,
};

fn layers(weights: &[usize]) -> Vec<LayerSize> {
    let layer = |(i, &weights): (usize, &usize)| LayerSize { name: format!("layer{i}"), weights, scales: 1 };
    weights.iter().enumerate().map(layer).collect()
}

fn limits(floor: f64, min_bits: u32, budget: usize) -> Limits {
    Limits { goal: Goal::Smallest { floor }, min_bits, max_bits: 8, budget, seed: 1 }
}

fn within(limit: usize, min_bits: u32, budget: usize) -> Limits {
    Limits { goal: Goal::MostAccurate { limit }, ..limits(0.0, min_bits, budget) }
}

fn run(name: &str, layers: &[LayerSize], limits: Limits, f: impl Fn(&[u32]) -> f64) -> Outcome {
    let mut asked = HashSet::new();
    let outcome = search(searcher(name).unwrap(), layers, limits, None, |bits: &[u32]| {
        assert!(asked.insert(bits.to_vec()), "{name}: {bits:?} was measured twice");
        assert!(bits.iter().all(|b| (limits.min_bits..=limits.max_bits).contains(b)), "{name}: {bits:?}");
        Ok::<_, Infallible>(f(bits))
    });
    let outcome = outcome.unwrap();
    assert_eq!(outcome.points.len(), asked.iter().filter(|bits| f(bits) > NO_NETWORK).count());
    let measured = outcome.points.len();
    assert!(measured <= limits.budget, "{name}: {measured} of {}", limits.budget);
    outcome
}

/// Each layer's drop is `weight * 4^-b`; drops add up.
fn additive(sensitivity: &[f64]) -> impl Fn(&[u32]) -> f64 + '_ {
    |bits| 95.0 - sensitivity.iter().zip(bits).map(|(s, &b)| s * 0.25f64.powi(b as i32)).sum::<f64>()
}

const WEIGHTS: [usize; 4] = [100, 4000, 900, 2000];
const SENSITIVITY: [f64; 4] = [400.0, 20.0, 90.0, 5.0];

/// The smallest of all 4,096 candidates at the floor.
fn smallest(layers: &[LayerSize], floor: f64, accuracy: impl Fn(&[u32]) -> f64) -> usize {
    let every = (0..4096u32).map(|i| [i % 8 + 1, i / 8 % 8 + 1, i / 64 % 8 + 1, i / 512 + 1]);
    every.filter(|b| accuracy(b) >= floor).map(|b| size_bytes(layers, &b)).min().unwrap()
}

#[test]
fn finds_what_exhaustion_finds() {
    let (layers, accuracy) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    let optimum = smallest(&layers, 85.0, &accuracy);
    for name in ["greedy", "dynamic", "nsga2", "annealing"] {
        let best = run(name, &layers, limits(85.0, 1, 400), &accuracy).best.unwrap();
        assert!(best.accuracy >= 85.0);
        assert_eq!(best.size, size_bytes(&layers, &best.bits));
        // Evolution thins its front out, also where the floor crosses it.
        let slack = if name == "nsga2" { 1.02 } else { 1.0 };
        assert!(best.size as f64 <= slack * optimum as f64, "{name}: {best:?} instead of {optimum}");
    }
    // Whoever knows nothing of the layers comes close and not there.
    let random = run("random", &layers, limits(85.0, 1, 400), &accuracy).best.unwrap().size;
    let uniform = run("uniform", &layers, limits(85.0, 1, 400), &accuracy).best.unwrap().size;
    assert!(optimum <= random && random < uniform, "{optimum} {random} {uniform}");
}

#[test]
fn finds_the_most_accurate_within_a_size() {
    // Far above what would be no network.
    let (layers, additive) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    let accuracy = |bits: &[u32]| 300.0 + additive(bits);
    let every = || (0..4096u32).map(|i| [i % 8 + 1, i / 8 % 8 + 1, i / 64 % 8 + 1, i / 512 + 1]);
    for limit in [1_500, 2_000, 3_001] {
        let optimum = every().filter(|b| size_bytes(&layers, b) <= limit).map(|b| accuracy(&b));
        let optimum = optimum.fold(0.0, f64::max);
        let best = |name| run(name, &layers, within(limit, 1, 400), accuracy).best.unwrap();
        for name in ["greedy", "dynamic", "nsga2", "annealing"] {
            let best = best(name);
            assert!(best.size <= limit, "{name}: {best:?}");
            // Evolution ends beside it, as in the search for the smallest.
            let slack = if name == "nsga2" { 1.02 } else { 1.0 };
            let (lost, least) = (395.0 - best.accuracy, 395.0 - optimum);
            assert!(lost <= slack * least + 1e-9, "{name} in {limit}: loses {lost} instead of {least}");
        }
        let [random, uniform] = ["random", "uniform"].map(|name| best(name).accuracy);
        assert!(uniform < random && random <= optimum, "{uniform} {random} {optimum}");
    }
}

#[test]
fn a_limit_below_every_network_gives_nothing() {
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let outcome = run(name, &layers(&[10, 20]), within(5, 1, 50), additive(&[1.0, 1.0]));
        assert!(outcome.best.is_none(), "{name}");
    }
}

#[test]
fn layers_that_hide_or_multiply_each_others_errors_mislead_only_who_adds() {
    // Neighbours' errors multiply, and one layer is harmless only beside a fine neighbour: nothing adds up.
    let noise = |bits: &[u32], l: usize| SENSITIVITY[l] / 20.0 * 0.25f64.powi(bits[l] as i32);
    let accuracy = |bits: &[u32]| {
        let [a, b, c, d] = [0, 1, 2, 3].map(|l| noise(bits, l));
        95.0 - 10.0 * (a + c).sqrt() - 30.0 * b * (1.0 + 4.0 * d) - 8.0 * d / (0.05 + a)
    };
    let layers = layers(&WEIGHTS);
    let optimum = smallest(&layers, 85.0, accuracy);
    let best = |name| run(name, &layers, limits(85.0, 1, 600), accuracy).best.unwrap().size as f64;
    for name in ["nsga2", "annealing"] {
        assert!(best(name) <= 1.05 * optimum as f64, "{name}: {} instead of {optimum}", best(name));
    }
    // The one that plans with single layers' drops is led astray.
    assert!(best("greedy") > best("annealing"));
}

#[test]
fn the_exact_allocation_is_the_bound_where_drops_add_up() {
    let (layers, accuracy) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    let outcome = run("dynamic", &layers, limits(85.0, 1, 60), &accuracy);
    assert_eq!(outcome.bound, Some(outcome.best.unwrap().size));
    // And too optimistic where they do more than add up.
    let worse = |bits: &[u32]| 95.0 - (95.0 - accuracy(bits)).powf(1.3);
    let outcome = run("dynamic", &layers, limits(85.0, 1, 60), worse);
    assert!(outcome.bound.unwrap() < outcome.best.unwrap().size);
}

#[test]
fn every_searcher_repeats_itself_and_its_front_is_not_beaten() {
    let (layers, accuracy) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let limits = limits(85.0, 2, 50);
        let outcome = run(name, &layers, limits, &accuracy);
        assert_eq!(outcome, run(name, &layers, limits, &accuracy), "{name}");
        assert!(outcome.front.len() > 2, "{name}");
        let within = within(2_500, 2, 50);
        assert_eq!(run(name, &layers, within, &accuracy), run(name, &layers, within, &accuracy), "{name}");
        for pair in outcome.front.windows(2) {
            assert!(pair[0].size < pair[1].size && pair[0].accuracy < pair[1].accuracy);
        }
        assert!(outcome.points.iter().all(|p| p.bits.iter().all(|b| (2..=8).contains(b))));
        for point in &outcome.points {
            assert!(outcome.front.iter().all(|f| !point.beats(f)), "{name}");
        }
    }
}

#[test]
fn another_seed_is_another_search_where_anything_is_random() {
    let (layers, accuracy) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let seeded = |seed| run(name, &layers, Limits { seed, ..limits(85.0, 1, 50) }, &accuracy).points;
        let differs = seeded(1) != seeded(2);
        assert_eq!(differs, ["random", "nsga2", "annealing"].contains(&name), "{name}");
    }
}

#[test]
fn costs_that_are_brought_spare_their_measurement() {
    let (layers, accuracy) = (layers(&WEIGHTS), additive(&SENSITIVITY));
    let costs: Vec<Vec<f64>> =
        SENSITIVITY.iter().map(|s| (1..=8).map(|b| s * 0.25f64.powi(b)).collect()).collect();
    for name in ["dynamic", "greedy"] {
        let limits = limits(85.0, 1, 40); // measuring costs would take 29 of them
        let outcome = search(searcher(name).unwrap(), &layers, limits, Some(&costs), |bits: &[u32]| {
            Ok::<_, Infallible>(accuracy(bits))
        });
        let best = outcome.unwrap().best.unwrap();
        assert_eq!(best.size, smallest(&layers, 85.0, &accuracy), "{name}");
    }
}

#[test]
fn an_unreachable_floor_gives_nothing() {
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let outcome = run(name, &layers(&[10, 20]), limits(99.0, 1, 50), additive(&[1.0, 1.0]));
        assert!(outcome.best.is_none(), "{name}");
    }
}

/// Where the most bits everywhere stay below the floor and a few less do not, every searcher finds a network.
#[test]
fn the_most_bits_need_not_hold() {
    let additive = additive(&SENSITIVITY);
    let accuracy = |bits: &[u32]| if bits.iter().sum::<u32>() > 26 { 50.0 } else { additive(bits) };
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let best = run(name, &layers(&WEIGHTS), limits(85.0, 1, 400), accuracy).best;
        assert!(best.is_some_and(|best| best.accuracy >= 85.0), "{name}");
    }
}

#[test]
fn a_search_of_a_space_that_is_used_up_ends() {
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let outcome = run(name, &layers(&[10]), limits(85.0, 7, 50), additive(&[1.0]));
        assert!(outcome.points.len() <= 2, "{name}");
    }
}

/// Where nothing is smaller, there is nothing to draw: with this budget, to draw in vain would take for ever.
#[test]
fn random_widths_end_with_the_smallest() {
    let layers = layers(&[100, 200, 300]);
    for limits in [limits(0.0, 2, usize::MAX / 200), within(10, 2, usize::MAX / 200)] {
        let outcome = run("random", &layers, limits, |_| 50.0);
        assert!(outcome.points.iter().any(|point| point.bits == [2, 2, 2]));
    }
}

/// What each layer costs takes 2 * 3 + 1 measurements here.
#[test]
fn a_budget_that_ends_before_the_search_begins_is_told() {
    let layers = layers(&[100, 200, 300]);
    for name in ["greedy", "dynamic"] {
        let cut = |budget| {
            let limits = Limits { max_bits: 4, ..limits(0.0, 2, budget) };
            run(name, &layers, limits, additive(&[1.0, 2.0, 3.0])).costs_cut_short
        };
        assert_eq!([cut(6), cut(7), cut(60)], [true, false, false], "{name}");
    }
    assert!(!run("annealing", &layers, limits(0.0, 2, 3), |_| 50.0).costs_cut_short);
}

/// Guessed costs say that half of the layers cost nothing, where in truth each of their bits is needed. Greedy descent tries them
/// first, and then not before every other step again.
#[test]
fn what_has_failed_is_not_tried_at_every_step() {
    let layers = layers(&[100; 10]);
    let costs: Vec<Vec<f64>> =
        (0..10).map(|l| (1..=8).map(|b| if l < 5 { 0.0 } else { f64::from(8 - b) }).collect()).collect();
    let truth = |bits: &[u32]| if bits[..5] == [8; 5] { 90.0 } else { 10.0 };
    let outcome =
        search(searcher("greedy").unwrap(), &layers, limits(85.0, 1, 70), Some(&costs), |bits: &[u32]| {
            Ok::<_, Infallible>(truth(bits))
        });
    assert_eq!(outcome.unwrap().best.unwrap().bits, [8, 8, 8, 8, 8, 1, 1, 1, 1, 1]);
}

#[test]
fn a_failed_evaluation_ends_the_search() {
    for searcher in SEARCHERS {
        let outcome = search(searcher, &layers(&[10]), limits(0.0, 1, 5), None, |_: &[u32]| Err("broken"));
        assert_eq!(outcome, Err("broken"));
    }
}

/// The first layer cannot be dropped; a network that is always wrong is one nevertheless.
#[test]
fn what_is_no_network_is_no_answer() {
    let layers = layers(&WEIGHTS);
    let accuracy = |bits: &[u32]| if bits[0] == 0 { NO_NETWORK } else { 0.0 };
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        for limits in [limits(0.0, 0, 200), within(3000, 0, 200)] {
            let outcome = run(name, &layers, limits, accuracy);
            assert!(outcome.best.as_ref().is_none_or(|best| best.bits[0] > 0), "{name}: {outcome:?}");
            assert!(outcome.points.iter().chain(&outcome.front).all(|point| point.bits[0] > 0), "{name}");
        }
        let smallest = run(name, &layers, limits(0.0, 0, 200), accuracy).best.expect(name);
        assert!(smallest.size < size_bytes(&layers, &[8; 4]) / 2, "{name}: {smallest:?}");
    }
}

/// Layers without size, measurements that are all of no network, one layer: every search comes to an end.
#[test]
fn a_search_ends_where_there_is_nothing_to_find() {
    let bare = [100, 50].map(|weights| LayerSize { name: "a".to_owned(), weights, scales: 0 });
    let nothing = [LayerSize { name: "a".to_owned(), weights: 0, scales: 0 }];
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let sum = |bits: &[u32]| 5.0 * bits.iter().sum::<u32>() as f64;
        let best = run(name, &bare, limits(10.0, 0, 100), sum).best.expect(name);
        assert!(sum(&best.bits) >= 10.0, "{name}");
        assert_eq!(run(name, &nothing, limits(10.0, 1, 100), sum).best.expect(name).size, 0, "{name}");
        assert_eq!(run(name, &bare, limits(10.0, 0, 100), |_| NO_NETWORK).best, None, "{name}");
        assert_eq!(run(name, &bare, within(50, 0, 100), |_| NO_NETWORK).best, None, "{name}");
    }
}

/// What is measured may be anything that is more where a network is better: a loss with its sign turned, say.
#[test]
fn accuracies_below_zero_are_accuracies() {
    let loss = |bits: &[u32]| -2.0 - 8.0 / bits.iter().sum::<u32>() as f64;
    for name in SEARCHERS.map(|searcher| searcher.name()) {
        let best = run(name, &layers(&WEIGHTS), limits(-3.0, 1, 60), loss).best.expect(name);
        assert!(loss(&best.bits) >= -3.0, "{name}");
    }
}

/// To see that there is no network takes no measurement of the budget.
#[test]
fn what_is_no_network_uses_nothing_up() {
    let accuracy = |bits: &[u32]| if bits.contains(&0) { NO_NETWORK } else { 50.0 };
    for name in ["random", "nsga2"] {
        let outcome = run(name, &layers(&WEIGHTS), within(3000, 0, 60), accuracy);
        assert_eq!(outcome.points.len(), 60, "{name}");
    }
}

/// Whoever plans by what each layer costs alone is told so.
#[test]
fn what_is_no_network_costs_infinitely_much() {
    struct Probe;
    impl Searcher for Probe {
        fn name(&self) -> &'static str {
            "probe"
        }
        fn summary(&self) -> &'static str {
            "looks at the costs"
        }
        fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
            let (costs, _) = Sensitivity::costs(trials)?;
            let infinite = |row: &Vec<f64>| row.iter().filter(|cost| cost.is_infinite()).count();
            assert_eq!(costs.iter().map(infinite).collect::<Vec<_>>(), [1, 0, 0, 0]);
            assert!(costs[0][0].is_infinite());
            Some(())
        }
    }
    let accuracy = |bits: &[u32]| Ok::<_, Infallible>(if bits[0] == 0 { NO_NETWORK } else { 50.0 });
    let points = search(&Probe, &layers(&WEIGHTS), limits(0.0, 0, 200), None, accuracy).unwrap().points;
    assert_eq!(points.len(), 4 * 8, "all at 8 bits, each layer at 0 to 7, but for the first at 0");
}
