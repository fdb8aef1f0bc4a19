//! `entropy`: the clipping value under which the distribution of the codes tells most about that of the values.
//!
//! The magnitudes `|x|` are counted in 2048 bins up to the largest (zeros are left out: every scale has them exactly).
//! A candidate keeps the first `m` bins. With `L` levels of magnitude,
//!
//! ```text
//! p[i]   the counts of the kept bins, everything beyond them added to the last one that is not empty
//! q[i]   the kept bins merged into L groups of equal width (L: the grid's steps from 0 to alpha), each group's count spread over its bins that are not empty
//! KL     sum p/P log( (p/P) / (q/Q) )                P, Q the sums of p and q          (2g)
//! ```
//!
//! and the `m` of least divergence gives `alpha = max|x| m / 2048`: clipping makes the last bin of `p` too full, coarse
//! groups make `q` too flat, and the minimum weighs the two. Source: Migacz, "8-bit inference with TensorRT" (GTC 2017);
//! there what is beyond goes into the last kept bin even if that is empty, where the divergence is infinite. The method was made for 8 bits; with 2 bits it compares
//! two groups (signed) or three, and the squared error is the better guide.
//!
//! Bins that hold one value or none differ by chance. Coarse groups level that out, and (2g) takes it for a loss, next to
//! which even clipping nearly everything seems to lose less. So a tensor with fewer than [`PER_LEVEL`] values to a level is not clipped,
//! and no candidate keeps a smaller share of the values than [`KEPT`].
//!
//! [`divergence_ref`] is the definition; [`divergences`] takes the same sums from running totals, which makes a candidate
//! cost `L` steps instead of `m`.

use super::{Sample, ScaleRule};
use crate::Grid;

/// Bins of the magnitudes.
pub const BINS: usize = 2048;
/// Values to a level that a tensor must have to be clipped.
pub const PER_LEVEL: usize = 16;
/// The least share of the values that differ from zero that is kept.
pub const KEPT: f64 = 0.8;

/// The table's line.
pub const RULE: ScaleRule = ScaleRule {
    name: "entropy",
    summary: "clips where the codes' distribution diverges least from the values' (KL)",
    raw: scale,
};

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    let magnitude = |v: f32| f64::from(if grid.is_signed() { v.abs() } else { v.max(0.0) });
    let largest = x.iter().map(|(v, _)| magnitude(v)).fold(0.0, f64::max);
    let mut counts = vec![0.0; BINS];
    for (size, weight) in x.iter().map(|(v, w)| (magnitude(v), w)).filter(|(size, _)| *size > 0.0) {
        counts[((size / largest * BINS as f64) as usize).min(BINS - 1)] += weight;
    }
    let (levels, all) = (grid.steps() as usize, counts.iter().sum::<f64>());
    let values = x.values().iter().filter(|v| magnitude(**v) > 0.0).count();
    // The values of a histogram stand for many each.
    let enough = x.is_weighted() || values >= PER_LEVEL * levels;
    let candidates = if enough { divergences(&counts, levels) } else { Vec::new() };
    let mut kept = 0.0;
    let keeps = |count: &f64| {
        kept += count;
        kept >= KEPT * all
    };
    let first = counts.iter().position(keeps).unwrap_or(0) + 1;
    let best = candidates.into_iter().filter(|(m, _)| *m >= first).min_by(|a, b| a.1.total_cmp(&b.1));
    // With too few values or more levels than bins there is nothing to compare, and the largest value fits.
    let kept = best.map_or(1.0, |(m, _)| m as f64 / BINS as f64);
    largest * kept / f64::from(grid.steps())
}

/// The divergence of one candidate by its definition.
pub fn divergence_ref(counts: &[f64], m: usize, levels: usize) -> f64 {
    let mut p = counts[..m].to_vec();
    let Some(last) = p.iter().rposition(|&c| c > 0.0) else { return f64::INFINITY };
    p[last] += counts[m..].iter().sum::<f64>();
    let mut q = vec![0.0; m];
    for level in 0..levels {
        let group = level * m / levels..(level + 1) * m / levels;
        let filled = group.clone().filter(|&i| counts[i] > 0.0).count() as f64;
        let total: f64 = counts[group.clone()].iter().sum();
        group.filter(|&i| counts[i] > 0.0).for_each(|i| q[i] = total / filled);
    }
    let (sum_p, sum_q) = (p.iter().sum::<f64>(), q.iter().sum::<f64>());
    let term =
        |(p, q): (&f64, &f64)| if *p > 0.0 { p / sum_p * ((p / sum_p) / (q / sum_q)).ln() } else { 0.0 };
    p.iter().zip(&q).map(term).sum()
}

/// `(m, KL)` of every candidate from `levels` bins to all of them that holds something.
pub fn divergences(counts: &[f64], levels: usize) -> Vec<(usize, f64)> {
    let log = |v: f64| if v > 0.0 { v * v.ln() } else { 0.0 };
    let totals = |of: &dyn Fn(f64) -> f64| -> Vec<f64> {
        let running = counts.iter().scan(0.0, |sum, &c| {
            *sum += of(c);
            Some(*sum)
        });
        std::iter::once(0.0).chain(running).collect()
    };
    let (sums, logs) = (totals(&|c| c), totals(&log));
    let filled = totals(&|c| if c > 0.0 { 1.0 } else { 0.0 });
    let all = sums[counts.len()];
    let mut last = None;
    let mut candidates = Vec::new();
    for m in 1..=counts.len() {
        if counts[m - 1] > 0.0 {
            last = Some(m - 1);
        }
        let Some(last) = last.filter(|_| m >= levels) else { continue };
        let (kept, beyond) = (sums[m], all - sums[m]);
        // sum p log p, then minus sum p log q: q is constant on a group, and the last bin carries what is beyond.
        let mut kl = logs[m] - log(counts[last]) + log(counts[last] + beyond);
        for level in 0..levels {
            let (from, to) = (level * m / levels, (level + 1) * m / levels);
            let (total, bins) = (sums[to] - sums[from], filled[to] - filled[from]);
            if bins > 0.0 {
                let p = total + if (from..to).contains(&last) { beyond } else { 0.0 };
                kl -= p * (total / bins).ln();
            }
        }
        candidates.push((m, kl / all + (kept / all).ln()));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::super::heuristic;
    use super::*;

    fn counts(bins: usize) -> Vec<f64> {
        (0..bins).map(|i| (300.0 * (-(i as f64) / 40.0).exp() * (1.2 + (i as f64).sin())).floor()).collect()
    }

    #[test]
    fn running_totals_give_the_divergence_of_the_definition() {
        for (bins, levels) in [(256, 16), (300, 127), (200, 3)] {
            let counts = counts(bins);
            for (m, kl) in divergences(&counts, levels) {
                let want = divergence_ref(&counts, m, levels);
                assert!(
                    (kl - want).abs() < 1e-9,
                    "{bins} bins, {levels} levels, {m} kept: {kl} instead of {want}"
                );
            }
        }
    }

    #[test]
    fn groups_as_fine_as_the_bins_lose_nothing() {
        let counts = counts(64);
        assert!(divergences(&counts, 64)[0].1.abs() < 1e-12);
    }

    /// Nearly everything is kept of values that are spread evenly, and zeros have no part in it.
    #[test]
    fn the_scale_is_what_is_kept_by_the_steps() {
        let x: Vec<f32> = (1..=4096).map(|i| 3.0 * i as f32 / 4096.0).collect();
        let with_zeros: Vec<f32> = x.iter().copied().chain(vec![0.0; 10_000]).collect();
        for signed in [true, false] {
            let grid = Grid::new(8, signed).unwrap();
            let kept = f64::from(RULE.scale(&x, grid).unwrap()) * f64::from(grid.steps()) / 3.0;
            assert!((0.9..1.001).contains(&kept), "{kept}");
            assert_eq!(RULE.scale(&with_zeros, grid).unwrap(), RULE.scale(&x, grid).unwrap());
        }
    }

    /// Without the two conditions 144 values at 4 bits (half of twenty tensors normal, half with heavier tails) had 28 times the least error on
    /// average, 137 times at worst.
    #[test]
    fn few_values_are_not_nearly_all_clipped() {
        for (n, bits) in [(27, 3), (144, 2), (144, 4), (144, 8), (432, 4), (640, 8)] {
            let grid = Grid::signed(bits).unwrap();
            for seed in 0..20 {
                let mut rng = engine::rng::Rng::new(seed, 0);
                let x: Vec<f32> = (0..n).map(|_| rng.normal()).collect();
                let x = Sample::new(&x);
                let [found, best] =
                    [RULE, heuristic::RULE].map(|rule| heuristic::error(&x, rule.scale_of(&x, grid), grid));
                assert!(found < 3.0 * best, "{n} values, {bits} bits: {found}, {best}");
            }
        }
    }

    #[test]
    fn an_outlier_is_clipped() {
        let mut x: Vec<f32> = (1..10_000).map(|i| (i as f32 * 0.37).sin().abs()).collect();
        let grid = Grid::unsigned(8).unwrap();
        let without = RULE.scale(&x, grid).unwrap();
        x.push(8.0);
        let with = RULE.scale(&x, grid).unwrap();
        assert!(with < 1.5 * without, "{without} {with}");
    }
}
