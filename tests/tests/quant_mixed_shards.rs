//! Searches divided among processes, on a function that costs nothing: three shards, round after round, and what one process
//! makes of their measurements, are the search of one process for every searcher.

use std::cell::RefCell;
use std::collections::HashMap;

use quant::mixed::{Goal, LayerSize, Limits, SEARCHERS, Searcher, search, search_ahead};

const SHARDS: usize = 3;
const LIMITS: Limits =
    Limits { goal: Goal::Smallest { floor: 385.0 }, min_bits: 1, max_bits: 8, budget: 120, seed: 3 };

type Known = HashMap<Vec<u32>, f64>;

fn layers() -> Vec<LayerSize> {
    let weights = [100, 4000, 900, 2000, 350];
    weights.map(|weights| LayerSize { name: format!("of {weights}"), weights, scales: 1 }).into()
}

fn accuracy(bits: &[u32]) -> f64 {
    let drops = [400.0, 20.0, 90.0, 5.0, 60.0].iter().zip(bits).map(|(s, &b)| s * 0.25f64.powi(b as i32));
    395.0 - drops.sum::<f64>() // far above what would be no network
}

/// What shard `own` measures in a round that begins with `known`.
fn round(searcher: &dyn Searcher, own: usize, known: &Known) -> Known {
    let mut measured = Known::new();
    let announce = |all: &[Vec<u32>]| {
        for (_, bits) in all.iter().enumerate().filter(|(i, _)| i % SHARDS == own) {
            if !known.contains_key(bits) {
                measured.insert(bits.clone(), accuracy(bits));
            }
        }
        Ok(())
    };
    let ask = |bits: &[u32]| known.get(bits).copied().ok_or(());
    search_ahead(searcher, &layers(), LIMITS, None, announce, ask).ok();
    measured
}

#[test]
fn shards_and_what_is_left_are_the_whole_search() {
    for searcher in SEARCHERS {
        let name = searcher.name();
        let whole =
            search(searcher, &layers(), LIMITS, None, |bits: &[u32]| Ok::<_, ()>(accuracy(bits))).unwrap();
        let (mut known, mut shared) = (Known::new(), 0);
        loop {
            let parts: Vec<Known> = (0..SHARDS).map(|own| round(searcher, own, &known)).collect();
            let before = known.len();
            let count: usize = parts.iter().map(Known::len).sum();
            known.extend(parts.into_iter().flatten());
            assert_eq!(known.len(), before + count, "{name}: a candidate was measured by two shards");
            if count == 0 {
                break;
            }
            shared += count;
        }
        let again = RefCell::new(0);
        let merged = search(searcher, &layers(), LIMITS, None, |bits: &[u32]| {
            Ok::<_, ()>(known.get(bits).copied().unwrap_or_else(|| {
                *again.borrow_mut() += 1;
                accuracy(bits)
            }))
        });
        let (merged, rest) = (merged.unwrap(), again.into_inner());
        assert_eq!(merged, whole, "{name}");
        // Nothing is measured that is not asked for, but for the uniform widths and what was drawn in vain.
        let asked = whole.points.len();
        assert!(shared + rest >= asked, "{name}: {shared} shared, {rest} by one, {asked} asked for");
        let vain = shared + rest - asked;
        match name {
            "uniform" => assert_eq!((rest, vain), (0, 0)),
            "nsga2" => assert!(rest == 0 && vain <= 8, "{rest} {vain}"),
            "random" => assert_eq!(rest, 0),
            _ => assert!(vain <= 8 && shared > 7, "{name}: {shared} {rest} {vain}"),
        }
    }
}
