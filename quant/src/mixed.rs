//! Variable precision: how few bytes a network needs before it falls below an accuracy.
//!
//! The search sees a network as a list of weight counts and a function from bits per layer to accuracy;
//! what that function does (post-training quantization on held-out images, say) is the caller's.
//!
//! 1. *Sensitivity*: the accuracy with one layer at `b` bits and all others at the most, for every
//!    layer and `b`.
//! 2. *Allocation*: as if drops added up, choose for each layer the `b` that minimises
//!    `bytes + lambda * drop`. One number, lambda, sweeps from careless to careful; bisection finds the
//!    smallest allocation that really stays above the floor.
//! 3. *Greedy descent*: from there take one bit from one layer at a time, trying the cheapest
//!    predicted drop per byte first, as long as the measured accuracy holds.
//! 4. *Exchange*: give one layer a bit back if another can then lose more bytes.
//!
//! Every configuration that was measured is kept; [`SearchOutcome::front`] are those not beaten in both
//! size and accuracy.

use std::collections::HashMap;

/// A layer as the search sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerSize {
    /// Its name.
    pub name: String,
    /// Number of weights.
    pub weights: usize,
    /// Number of scales stored: 1 per tensor, or one per output channel.
    pub scales: usize,
}

/// Bytes of the weights: `ceil(n b / 8)` packed, and 4 for each `f32` scale.
///
/// ```
/// use quant::mixed::{LayerSize, size_bytes};
/// let layers = [LayerSize { name: "a".into(), weights: 9, scales: 1 }];
/// assert_eq!(size_bytes(&layers, &[3]), 4 + 4); // 27 bits need 4 bytes
/// ```
pub fn size_bytes(layers: &[LayerSize], bits: &[u32]) -> usize {
    layers.iter().zip(bits).map(|(l, &b)| (l.weights * b as usize).div_ceil(8) + 4 * l.scales).sum()
}

/// What bounds the search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// The accuracy to stay above or at.
    pub floor: f64,
    /// Fewest bits of a layer, at least 1.
    pub min_bits: u32,
    /// Most bits of a layer, at most 8.
    pub max_bits: u32,
    /// Largest number of evaluations after the sensitivity; the search ends when they are used up.
    pub evaluations: usize,
}

/// One measured configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Bits of each layer.
    pub bits: Vec<u32>,
    /// [`size_bytes`].
    pub bytes: usize,
    /// What the evaluation said.
    pub accuracy: f64,
}

/// Result of [`search`].
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome {
    /// Accuracy with every layer at the most bits.
    pub baseline: f64,
    /// `sensitivity[layer][b - min_bits]`: accuracy with only that layer at `b` bits.
    pub sensitivity: Vec<Vec<f64>>,
    /// The smallest configuration at or above the floor; `None` if even the baseline is below.
    pub best: Option<Point>,
    /// Measured configurations that no other beats in both size and accuracy, by size.
    pub front: Vec<Point>,
    /// Number of configurations measured.
    pub evaluations: usize,
}

/// Searches the bits of each layer for the smallest network with `accuracy >= floor`.
///
/// `evaluate` must give the same accuracy for the same bits; it is never asked twice.
///
/// # Errors
/// Whatever `evaluate` fails with.
///
/// # Panics
/// Unless `1 <= min_bits <= max_bits <= 8`.
pub fn search<E>(
    layers: &[LayerSize],
    options: Options,
    evaluate: impl FnMut(&[u32]) -> Result<f64, E>,
) -> Result<SearchOutcome, E> {
    let Options { floor, min_bits, max_bits, .. } = options;
    assert!(1 <= min_bits && min_bits <= max_bits && max_bits <= 8, "bits must be 1 to 8");
    let mut ledger = Ledger { layers, evaluate, measured: HashMap::new() };
    let full = vec![max_bits; layers.len()];
    let baseline = ledger.accuracy(&full)?;
    let mut sensitivity = Vec::new();
    for layer in 0..layers.len() {
        let alone = |b| {
            let mut bits = full.clone();
            bits[layer] = b;
            bits
        };
        let row: Result<Vec<f64>, E> = (min_bits..=max_bits).map(|b| ledger.accuracy(&alone(b))).collect();
        sensitivity.push(row?);
    }
    let limit = ledger.measured.len() + options.evaluations;
    let drop = |layer: usize, b: u32| (baseline - sensitivity[layer][(b - min_bits) as usize]).max(0.0);

    let mut best = full;
    if baseline >= floor {
        best = allocate(&mut ledger, options, &drop, best, limit)?;
        loop {
            let before = best.clone();
            best = descend(&mut ledger, options, &drop, best, limit)?;
            best = exchange(&mut ledger, options, &drop, best, limit)?;
            if best == before {
                break;
            }
        }
    }
    let point = |bits: &Vec<u32>, accuracy: f64| Point {
        bytes: size_bytes(layers, bits),
        bits: bits.clone(),
        accuracy,
    };
    let mut points: Vec<Point> = ledger.measured.iter().map(|(bits, &a)| point(bits, a)).collect();
    points.sort_by(|a, b| {
        a.bytes.cmp(&b.bytes).then(b.accuracy.total_cmp(&a.accuracy)).then(a.bits.cmp(&b.bits))
    });
    let evaluations = points.len();
    let best = points.iter().find(|p| p.accuracy >= floor).cloned();
    let mut reached = f64::NEG_INFINITY;
    points.retain(|p| {
        let better = p.accuracy > reached;
        reached = reached.max(p.accuracy);
        better
    });
    Ok(SearchOutcome { baseline, sensitivity, best, front: points, evaluations })
}

/// The evaluation, and everything it has said.
struct Ledger<'a, F> {
    layers: &'a [LayerSize],
    evaluate: F,
    measured: HashMap<Vec<u32>, f64>,
}

impl<E, F: FnMut(&[u32]) -> Result<f64, E>> Ledger<'_, F> {
    fn accuracy(&mut self, bits: &[u32]) -> Result<f64, E> {
        if let Some(&known) = self.measured.get(bits) {
            return Ok(known);
        }
        let accuracy = (self.evaluate)(bits)?;
        self.measured.insert(bits.to_vec(), accuracy);
        Ok(accuracy)
    }

    fn bytes(&self, bits: &[u32]) -> usize {
        size_bytes(self.layers, bits)
    }

    fn layer_bytes(&self, layer: usize, bits: u32) -> f64 {
        size_bytes(&self.layers[layer..=layer], &[bits]) as f64
    }
}

/// Step 2: bisection over lambda.
fn allocate<E, F: FnMut(&[u32]) -> Result<f64, E>>(
    ledger: &mut Ledger<'_, F>,
    options: Options,
    drop: &impl Fn(usize, u32) -> f64,
    full: Vec<u32>,
    limit: usize,
) -> Result<Vec<u32>, E> {
    let choose = |lambda: f64, ledger: &Ledger<'_, F>| -> Vec<u32> {
        let cost = |layer, b| ledger.layer_bytes(layer, b) + lambda * drop(layer, b);
        let cheapest = |layer| {
            (options.min_bits..=options.max_bits).min_by(|&a, &b| cost(layer, a).total_cmp(&cost(layer, b)))
        };
        (0..full.len()).map(|layer| cheapest(layer).expect("min_bits <= max_bits")).collect()
    };
    // In decades of bytes per unit of accuracy.
    let (mut careless, mut careful) = (-6.0f64, 9.0f64);
    let mut found: Option<Vec<u32>> = None;
    for _ in 0..16 {
        if ledger.measured.len() >= limit {
            break;
        }
        let middle = 0.5 * (careless + careful);
        let bits = choose(10f64.powf(middle), ledger);
        if ledger.accuracy(&bits)? >= options.floor {
            careful = middle;
            if found.as_ref().is_none_or(|f| ledger.bytes(&bits) < ledger.bytes(f)) {
                found = Some(bits);
            }
        } else {
            careless = middle;
        }
    }
    Ok(found.unwrap_or(full))
}

/// Step 3: one bit from one layer at a time.
fn descend<E, F: FnMut(&[u32]) -> Result<f64, E>>(
    ledger: &mut Ledger<'_, F>,
    options: Options,
    drop: &impl Fn(usize, u32) -> f64,
    mut best: Vec<u32>,
    limit: usize,
) -> Result<Vec<u32>, E> {
    loop {
        let price = |layer: usize| {
            let (from, to) = (best[layer], best[layer] - 1);
            let saved = ledger.layer_bytes(layer, from) - ledger.layer_bytes(layer, to);
            (drop(layer, to) - drop(layer, from)).max(0.0) / saved.max(1.0)
        };
        let mut order: Vec<usize> = (0..best.len()).filter(|&l| best[l] > options.min_bits).collect();
        order.sort_by(|&a, &b| price(a).total_cmp(&price(b)));
        let mut taken = None;
        for layer in order {
            if ledger.measured.len() >= limit {
                return Ok(best);
            }
            let mut bits = best.clone();
            bits[layer] -= 1;
            if ledger.accuracy(&bits)? >= options.floor {
                taken = Some(bits);
                break;
            }
        }
        match taken {
            Some(bits) => best = bits,
            None => return Ok(best),
        }
    }
}

/// Step 4: a bit more here, fewer bytes in all.
fn exchange<E, F: FnMut(&[u32]) -> Result<f64, E>>(
    ledger: &mut Ledger<'_, F>,
    options: Options,
    drop: &impl Fn(usize, u32) -> f64,
    best: Vec<u32>,
    limit: usize,
) -> Result<Vec<u32>, E> {
    let size = ledger.bytes(&best);
    let mut candidates = Vec::new();
    for up in (0..best.len()).filter(|&l| best[l] < options.max_bits) {
        for down in (0..best.len()).filter(|&l| l != up && best[l] > options.min_bits) {
            let mut bits = best.clone();
            bits[up] += 1;
            bits[down] -= 1;
            if ledger.bytes(&bits) < size {
                let gain = drop(up, best[up]) - drop(up, bits[up]);
                let loss = drop(down, bits[down]) - drop(down, best[down]);
                candidates.push((loss - gain, bits));
            }
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, bits) in candidates {
        if ledger.measured.len() >= limit {
            break;
        }
        if ledger.accuracy(&bits)? >= options.floor {
            return Ok(bits);
        }
    }
    Ok(best)
}
