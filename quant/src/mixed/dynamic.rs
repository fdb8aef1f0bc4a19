//! The best allocation, exactly, if costs added up: dynamic programming.
//!
//! Let `B_l(b)` be the bytes of layer `l` at `b` bits and `D_l(b)` its cost. The least cost of the first `l` layers
//! within `S` bytes follows from that of the first `l - 1`:
//!
//! ```text
//! F_l(S)  =  min over b of   F_(l-1)( S - B_l(b) )  +  D_l(b)            F_0(S) = 0             (6c)
//! ```
//!
//! It is a knapsack with a choice for each layer (Bellman, "Dynamic programming", 1957). Unlike the price of (6b), which
//! reaches the corners of a convex hull, it finds the optimum for *every* size. The sizes are multiples of their greatest
//! common divisor, so a ResNet-20 has some 130,000 of them, and the table takes `22 * 8` times as many additions.
//!
//! What is left is that costs do not add up. The search measures the table's allocations: bisection over the size finds
//! where they cross the floor, and the rest of the budget goes to sizes around, a hundredth apart. If the costs are measured
//! drops, the smallest size with `F(S) <= accuracy - floor` is the *bound*: nobody gets below it unless layers hide each
//! other's errors. The distance of the best measured candidate from it is the optimality gap. Under a limit of the size the
//! allocations are measured from the limit down to two thirds of it, a thousandth apart: all of nearly the least cost.

use super::sensitivity::Sensitivity;
use super::{Goal, LayerSize, Searcher, Trials, size_bytes};

/// From one size to the next around the crossing, as a share of it.
const STRIDE: f64 = 0.01;
/// The same from a limit downwards.
const FINE_STRIDE: f64 = 0.001;

/// Exact allocation on additive costs.
pub struct Dynamic;

impl Searcher for Dynamic {
    fn name(&self) -> &'static str {
        "dynamic"
    }

    fn summary(&self) -> &'static str {
        "the exact optimum of added costs (dynamic programming)"
    }

    fn plans(&self) -> bool {
        true
    }

    fn run(&self, trials: &mut Trials<'_>) -> Option<()> {
        let (costs, allowed) = Sensitivity::costs(trials)?;
        let table = Allocations::new(trials.layers, trials.limits.min_bits, &costs);
        if let Goal::MostAccurate { limit } = trials.limits.goal {
            let share = |i: u32| (1.0 - FINE_STRIDE).powi(i as i32);
            let shares = (0..).map(share).take_while(|share| *share > 2.0 / 3.0);
            let below: Vec<_> =
                shares.map_while(|share| table.within((share * limit as f64) as usize)).collect();
            trials.announce(below.clone())?;
            return below.iter().try_for_each(|bits| trials.accuracy(bits).map(|_| ()));
        }
        let steps = table.steps();
        // Nothing is there, or no allocation has a cost: there is no network.
        let (Some(first), Some(last)) = (steps.first(), steps.last()) else { return Some(()) };
        // A layer without bits takes nothing, and no share of nothing is less.
        let (smallest, largest) = (first.0.max(1) as f64, last.0 as f64);
        trials.bound = allowed.and_then(|allowed| steps.iter().find(|s| s.1 <= allowed).map(|s| s.0));
        // Bisection as if accuracy grew with the size.
        let (mut low, mut high) = (0, steps.len() - 1);
        while low < high {
            let middle = (low + high) / 2;
            if trials.holds(&table.within(steps[middle].0)?)? { high = middle } else { low = middle + 1 }
        }
        // Then outwards from the crossing, the smaller sizes first.
        let [mut below, mut above] = [steps[low].0.max(1) as f64; 2];
        let mut around = Vec::new();
        while below >= smallest || above <= largest {
            (below, above) = (below * (1.0 - STRIDE), above * (1.0 + STRIDE));
            around.extend([below, above].iter().filter_map(|bytes| table.within(*bytes as usize)));
        }
        trials.announce(around.clone())?;
        around.iter().try_for_each(|bits| trials.accuracy(bits).map(|_| ()))
    }
}

/// The table (6c) for all sizes.
pub struct Allocations {
    min_bits: u32,
    unit: usize,
    /// `sizes[layer][b - min_bits]` in units.
    sizes: Vec<Vec<usize>>,
    /// `F` of all layers, by size in units.
    cost: Vec<f64>,
    /// `choice[layer][size]`: the width of `layer` where the layers up to it have that size.
    choice: Vec<Vec<u8>>,
}

impl Allocations {
    /// Fills the table; `costs[layer][b - min_bits]`.
    pub fn new(layers: &[LayerSize], min_bits: u32, costs: &[Vec<f64>]) -> Self {
        let size =
            |layer: &LayerSize, i: usize| size_bytes(std::slice::from_ref(layer), &[min_bits + i as u32]);
        let row =
            |(layer, costs): (&LayerSize, &Vec<f64>)| (0..costs.len()).map(|i| size(layer, i)).collect();
        let mut sizes: Vec<Vec<usize>> = layers.iter().zip(costs).map(row).collect();
        let unit = sizes.iter().flatten().fold(0, |a, &b| gcd(a, b)).max(1);
        sizes.iter_mut().flatten().for_each(|size| *size /= unit);
        let largest: usize = sizes.iter().map(|row| row.iter().max().unwrap_or(&0)).sum();
        let mut cost = vec![f64::INFINITY; largest + 1];
        cost[0] = 0.0; // exactly this size; "within" comes at the end
        let mut choice = Vec::new();
        for (sizes, costs) in sizes.iter().zip(costs) {
            let (mut next, mut chosen) = (vec![f64::INFINITY; largest + 1], vec![0u8; largest + 1]);
            for (i, (&size, &d)) in sizes.iter().zip(costs).enumerate() {
                for (s, &before) in cost[..=largest - size].iter().enumerate() {
                    if before + d < next[s + size] {
                        (next[s + size], chosen[s + size]) = (before + d, i as u8);
                    }
                }
            }
            cost = next;
            choice.push(chosen);
        }
        Self { min_bits, unit, sizes, cost, choice }
    }

    /// The sizes in bytes at which the least cost falls, and that cost, by size.
    pub fn steps(&self) -> Vec<(usize, f64)> {
        let mut least = f64::INFINITY;
        let falls = |(s, &cost): (usize, &f64)| {
            let better = cost < least;
            least = least.min(cost);
            better.then_some((s * self.unit, cost))
        };
        self.cost.iter().enumerate().filter_map(falls).collect()
    }

    /// The bits with the least cost within `bytes`; `None` if nothing is as small.
    pub fn within(&self, bytes: usize) -> Option<Vec<u32>> {
        let last = (bytes / self.unit).min(self.cost.len() - 1);
        let best = (0..=last).min_by(|&a, &b| self.cost[a].total_cmp(&self.cost[b]))?;
        if self.cost[best].is_infinite() {
            return None;
        }
        let (mut size, mut bits) = (best, vec![0; self.sizes.len()]);
        for layer in (0..bits.len()).rev() {
            let i = usize::from(self.choice[layer][size]);
            bits[layer] = self.min_bits + i as u32;
            size -= self.sizes[layer][i];
        }
        Some(bits)
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_combination_is_better_at_any_size() {
        let layer = |weights| LayerSize { name: String::new(), weights, scales: 1 };
        let layers = [layer(40), layer(9), layer(170), layer(88)];
        let cost =
            |l: usize, i: usize| [3.0, 5.0, 2.5, 7.0][l] / (1.0 + i as f64).powf(1.3) + (l * i % 3) as f64;
        let costs: Vec<Vec<f64>> = (0..4).map(|l| (0..6).map(|i| cost(l, i)).collect()).collect();
        let table = Allocations::new(&layers, 2, &costs);
        let every = || (0..1296u32).map(|i| [i % 6 + 2, i / 6 % 6 + 2, i / 36 % 6 + 2, i / 216 + 2]);
        let price = |bits: &[u32]| bits.iter().zip(&costs).map(|(b, c)| c[(b - 2) as usize]).sum::<f64>();
        for (bytes, cost) in table.steps() {
            let bits = table.within(bytes).unwrap();
            assert_eq!(size_bytes(&layers, &bits), bytes);
            let least = every().filter(|b| size_bytes(&layers, b) <= bytes).map(|b| price(&b));
            let least = least.fold(f64::INFINITY, f64::min);
            assert!((price(&bits) - least).abs() < 1e-12 && (cost - least).abs() < 1e-12, "{bytes}");
        }
        assert_eq!(table.within(10), None);
    }
}
