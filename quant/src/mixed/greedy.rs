//! Sensitivity and greedy exchange.
//!
//! 1. *Sensitivity*: [`drop[layer][b]`](super::sensitivity), measured or brought.
//! 2. *Allocation*: as if drops added up, choose for each layer the `b` that minimises
//!    `bytes + lambda * drop` (6b). One number, lambda, sweeps from careless to careful; bisection finds the
//!    smallest allocation that really stays above the floor.
//! 3. *Greedy descent*: from there take one bit from one layer at a time, trying the cheapest
//!    predicted drop per byte first (and what has failed before, last), as long as the measured accuracy holds.
//! 4. *Exchange*: give one layer a bit back if another can then lose more bytes.
//!
//! Under a limit of the size, step 2 takes the largest allocation within it, and in place of 3 and 4 one layer gets a bit,
//! from what is left or from another layer, the most promising first, as long as the measured accuracy grows.
//!
//! The price per unit is Lagrange's multiplier as in Shoham and Gersho, "Efficient bit allocation for an arbitrary set of
//! quantizers" (IEEE Transactions on Acoustics, Speech, and Signal Processing 36, 1988).

use std::collections::BTreeSet;

use super::sensitivity::Sensitivity;
use super::{Goal, Searcher, Trials};

/// From a careless to a careful price of (6b), in decades of bytes per unit of cost.
const PRICES: (f64, f64) = (-6.0, 9.0);

/// Sensitivity, allocation at a price, descent, exchange.
pub struct Greedy;

impl Searcher for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn summary(&self) -> &'static str {
        "sensitivity of each layer, then descent and exchange"
    }

    fn plans(&self) -> bool {
        true
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        let (drops, _) = Sensitivity::costs(trials)?;
        if let Goal::MostAccurate { limit } = trials.limits.goal {
            return most_accurate(trials, &drops, limit);
        }
        let Some(start) = most_bits_that_hold(trials)? else { return Some(()) };
        let mut best = allocate(trials, &drops, start)?;
        loop {
            let before = best.clone();
            best = descend(trials, &drops, best)?;
            best = exchange(trials, &drops, best)?;
            if best == before {
                return Some(());
            }
        }
    }
}

/// The same bits everywhere, as many as hold the floor: mostly the most there are, but a few less may be more accurate.
fn most_bits_that_hold(trials: &mut Trials<'_>) -> Option<Option<Vec<u32>>> {
    for bits in (trials.limits.min_bits..=trials.limits.max_bits).rev() {
        let uniform = trials.uniform(bits);
        if trials.holds(&uniform)? {
            return Some(Some(uniform));
        }
    }
    Some(None)
}

/// The drop of `layer` at `bits`.
fn drop(trials: &Trials<'_>, drops: &[Vec<f64>], layer: usize, bits: u32) -> f64 {
    drops[layer][(bits - trials.limits.min_bits) as usize]
}

/// Step 2, for one price: minimises `sum bytes + lambda * drop` (6b).
pub fn at_price(trials: &Trials<'_>, drops: &[Vec<f64>], lambda: f64) -> Vec<u32> {
    let widths = trials.limits.min_bits..=trials.limits.max_bits;
    let cost = |layer, b| trials.layer_size(layer, b) as f64 + lambda * drop(trials, drops, layer, b);
    let cheapest = |layer| widths.clone().min_by(|&a, &b| cost(layer, a).total_cmp(&cost(layer, b)));
    (0..trials.layers.len()).map(|layer| cheapest(layer).expect("min_bits <= max_bits")).collect()
}

/// Step 2: bisection over lambda. `careful` looks at an allocation and says whether a more careless one is to be next.
fn bisect(
    trials: &mut Trials<'_>,
    drops: &[Vec<f64>],
    steps: u32,
    mut careful: impl FnMut(&mut Trials<'_>, Vec<u32>) -> Option<bool>,
) -> Option<()> {
    let (mut low, mut high) = PRICES;
    for _ in 0..steps {
        let middle = 0.5 * (low + high);
        let bits = at_price(trials, drops, 10f64.powf(middle));
        if careful(trials, bits)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Some(())
}

/// The smallest allocation that stays above the floor.
fn allocate(trials: &mut Trials<'_>, drops: &[Vec<f64>], start: Vec<u32>) -> Option<Vec<u32>> {
    let mut found = start;
    bisect(trials, drops, 16, |trials, bits| {
        let held = trials.holds(&bits)?;
        if held && trials.size(&bits) < trials.size(&found) {
            found = bits;
        }
        Some(held)
    })?;
    Some(found)
}

/// Step 3: one bit from one layer at a time. What was too much for the network before is too much for a smaller one, most of the
/// time: such steps are tried again after all others.
fn descend(trials: &mut Trials<'_>, drops: &[Vec<f64>], mut best: Vec<u32>) -> Option<Vec<u32>> {
    let mut failed = BTreeSet::new();
    loop {
        let price = |layer: usize| {
            let (from, to) = (best[layer], best[layer] - 1);
            let saved = trials.layer_size(layer, from) - trials.layer_size(layer, to);
            let more = drop(trials, drops, layer, to) - drop(trials, drops, layer, from);
            more.max(0.0) / saved.max(1) as f64
        };
        let before = |layer: usize| failed.contains(&(layer, best[layer]));
        let mut order: Vec<usize> = (0..best.len()).filter(|&l| best[l] > trials.limits.min_bits).collect();
        order.sort_by(|&a, &b| before(a).cmp(&before(b)).then(price(a).total_cmp(&price(b))));
        let mut taken = None;
        for layer in order {
            let mut bits = best.clone();
            bits[layer] -= 1;
            if trials.holds(&bits)? {
                taken = Some(bits);
                break;
            }
            failed.insert((layer, best[layer]));
        }
        match taken {
            Some(bits) => best = bits,
            None => return Some(best),
        }
    }
}

/// Step 4: a bit more here, fewer bytes in all.
fn exchange(trials: &mut Trials<'_>, drops: &[Vec<f64>], best: Vec<u32>) -> Option<Vec<u32>> {
    let size = trials.size(&best);
    let mut candidates = Vec::new();
    for up in (0..best.len()).filter(|&l| best[l] < trials.limits.max_bits) {
        for down in (0..best.len()).filter(|&l| l != up && best[l] > trials.limits.min_bits) {
            let mut bits = best.clone();
            bits[up] += 1;
            bits[down] -= 1;
            if trials.size(&bits) < size {
                let change = |layer: usize| {
                    drop(trials, drops, layer, bits[layer]) - drop(trials, drops, layer, best[layer])
                };
                candidates.push((change(up) + change(down), bits));
            }
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, bits) in candidates {
        if trials.holds(&bits)? {
            return Some(bits);
        }
    }
    Some(best)
}

/// The search under a limit of the size.
fn most_accurate(trials: &mut Trials<'_>, drops: &[Vec<f64>], limit: usize) -> Option<()> {
    let mut bits = trials.uniform(trials.limits.min_bits);
    // No network is measured here: the steps are as good as free.
    bisect(trials, drops, 32, |trials, at| {
        let fits = trials.size(&at) <= limit;
        if fits {
            bits = at;
        }
        Some(!fits)
    })?;
    let mut best = trials.point(&bits)?;
    loop {
        let mut better = None;
        for bits in richer(trials, drops, &best.bits, limit) {
            let point = trials.point(&bits)?;
            if point.accuracy > best.accuracy {
                better = Some(point);
                break;
            }
        }
        best = better?;
    }
}

/// `bits` with one more for a layer, and perhaps one less for another, within the limit; what should cost least first.
fn richer(trials: &Trials<'_>, drops: &[Vec<f64>], bits: &[u32], limit: usize) -> Vec<Vec<u32>> {
    let layers = 0..bits.len();
    let mut found = Vec::new();
    for up in layers.clone().filter(|&l| bits[l] < trials.limits.max_bits) {
        for down in std::iter::once(None).chain(layers.clone().map(Some)) {
            let mut next = bits.to_vec();
            next[up] += 1;
            if let Some(down) = down {
                if down == up || next[down] == trials.limits.min_bits {
                    continue;
                }
                next[down] -= 1;
            }
            if trials.size(&next) <= limit {
                let cost = (0..next.len()).map(|layer| drop(trials, drops, layer, next[layer])).sum::<f64>();
                found.push((cost, next));
            }
        }
    }
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, bits)| bits).collect()
}
