//! `heuristic`: the clipping value of least mean squared error, found by exhaustive search.
//!
//! The error as a function of the scale is not convex: every value that dominates it passes from
//! code to code as the scale shrinks, and the curve has a dip for each. So:
//!
//! 1. *Sweep.* 512 scales in equal steps up to the largest that clips or just does not, as many in such steps up to twice
//!    that ([no larger one](LevelSums::largest_scale) can be the only best), 128 in equal ratios below its
//!    tenth (heavy tails want a small scale), and those that put the largest or the smallest value
//!    exactly on a level: where one outlier dominates the error, the dips are there and are narrow. A
//!    relative change of `1 / 2^b` in the scale moves the largest values to another code, so the curve of
//!    a wide grid has wiggles that fine: wherever the sweep comes within a twentieth of its best, the
//!    steps are divided by up to 8.
//! 2. *Refine.* Around each of the 16 best dips, 16 finer points and least-squares steps
//!    ([`LevelSums::improve`]), which never raise the error, until they stand still.
//! 3. *Decide.* The winner meets the symmetric scale on the values themselves, through eq 1 and 3 as
//!    everyone computes them; the symmetric scale stays unless it is worse.
//!
//! The result is therefore never worse than `symmetric`.
//!
//! # What it promises
//! Its error is within a thousandth of the [`optimum`](super::optimum()) in these cases, to which tests hold it:
//!
//! - tensors of at least 2,048 values that are spread evenly, like a bell, with heavy tails, in two heaps, or with an outlier
//!   besides, on grids of at most 8 bits: by the search above;
//! - smaller tensors, and wider grids as long as they have at most 2^25 breakpoints (a thousand values at 16 bits): by the
//!   [exact sweep](super::code_sweep), whose answer *is* the optimum. Among a handful of values the best scale is an
//!   accident that no search over a grid of scales meets, and on a wide grid the dips are too narrow for one.
//!
//! Beyond (many values on more than 8 bits) and for the bins of a histogram it is the search's answer, measured within
//! one percent of the optimum.
//!
//! # Cost
//! This runs on every weight tensor at every step of quantization-aware training. With [`LevelSums`]
//! a candidate costs `min(2^b, n)` short searches, not a pass over `n` values: about `2000 * 2^b`
//! searches and one sort, whatever `n`.

use rayon::prelude::*;

use super::code_sweep::{best_scale, breakpoints};
use super::level_sums::LevelSums;
use super::{Sample, ScaleRule, symmetric};
use crate::Grid;
use crate::numbers::uniform::{quantize_value, restore_value};

/// The table's line.
pub const RULE: ScaleRule = ScaleRule {
    name: "heuristic",
    summary: "searches the clipping value of least mean squared error",
    raw: scale,
};

/// Fewer values than this are swept exactly.
const SMALL: usize = 2048;
/// Breakpoints up to which wide grids are swept exactly.
const AFFORDABLE: f64 = (1 << 25) as f64;

fn scale(x: &Sample<'_>, grid: Grid) -> f64 {
    let symmetric = symmetric::RULE.scale_of(x, grid);
    let accidental = x.values().len() < SMALL || grid.bits() > 8;
    if !x.is_weighted() && accidental && breakpoints(x, grid) <= AFFORDABLE {
        let near = best_scale(x, grid).into_iter().flat_map(neighbours);
        let errors = near.map(|s| (error(x, s, grid), s));
        let found = errors.min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, s)| s);
        return better(x, found, symmetric, grid);
    }
    let sums = LevelSums::new(x);
    let largest = sums.largest_scale(grid);
    if largest <= 0.0 {
        return 0.0;
    }
    let largest = largest.max(f64::from(symmetric));
    let mut scales = sweep(largest, 512);
    scales.extend((513..=1024).map(|i| largest * f64::from(i) / 512.0)); // still ascending
    let found = search(&sums, grid, &scales, 16) as f32;
    better(x, found, symmetric, grid)
}

/// `found`, unless the symmetric scale is as good.
fn better(x: &Sample<'_>, found: f32, symmetric: f32, grid: Grid) -> f64 {
    let usable = found.is_finite() && found > 0.0;
    let better = usable && error(x, found, grid) < error(x, symmetric, grid);
    f64::from(if better { found } else { symmetric })
}

/// `n` scales in equal steps up to `largest`, and `n / 4` in equal ratios from its tenth downwards.
/// Ascending.
pub(super) fn sweep(largest: f64, n: usize) -> Vec<f64> {
    let tail = n / 4;
    let ratios = (0..tail).map(|i| largest * 0.1 * 1e-4f64.powf(i as f64 / tail as f64));
    let steps = (1..=n).map(|i| largest * i as f64 / n as f64);
    let mut scales: Vec<f64> = ratios.chain(steps).collect();
    scales.sort_by(f64::total_cmp);
    scales
}

/// The best scale near the `keep` best dips of the curve that starts as `scales` (ascending).
pub(super) fn search(sums: &LevelSums, grid: Grid, scales: &[f64], keep: usize) -> f64 {
    // Few levels are done before another thread would have started.
    let alone = scales.len() * grid.levels() < 1 << 16;
    let measure = |scales: &[f64]| -> Vec<(f64, f64)> {
        let point = |&s: &f64| (s, sums.mse(s, grid));
        if alone { scales.iter().map(point).collect() } else { scales.par_iter().map(point).collect() }
    };
    let mut curve = measure(scales);
    curve.extend(measure(&between(&curve, grid)));
    curve.extend(measure(&on_levels(sums, grid)));
    curve.sort_by(|a, b| a.0.total_cmp(&b.0));
    curve.dedup_by_key(|point| point.0);

    let error = |i: usize| curve.get(i).map_or(f64::INFINITY, |point| point.1);
    let is_dip = |&i: &usize| error(i) <= error(i + 1) && error(i) <= error(i.wrapping_sub(1));
    let mut dips: Vec<usize> = (0..curve.len()).filter(is_dip).collect();
    dips.sort_by(|&a, &b| error(a).total_cmp(&error(b)));
    dips.truncate(keep);
    let refine = |&i: &usize| {
        let here = curve[i].0;
        let lo = if i == 0 { 0.5 * here } else { curve[i - 1].0 };
        let hi = if i + 1 == curve.len() { 1.002 * here } else { curve[i + 1].0 };
        let near = (1..16).map(|j| lo + (hi - lo) * f64::from(j) / 16.0).chain([here]);
        let near = near.map(|s| (sums.mse(s, grid), s)).min_by(|a, b| a.0.total_cmp(&b.0));
        settle(sums, grid, near.expect("there are sixteen"))
    };
    let best: Vec<(f64, f64)> =
        if alone { dips.iter().map(refine).collect() } else { dips.par_iter().map(refine).collect() };
    best.into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).map_or(0.0, |(_, s)| s)
}

/// Scales between neighbours of `curve` that are within a twentieth of its best, as fine as the wiggles of
/// this grid.
fn between(curve: &[(f64, f64)], grid: Grid) -> Vec<f64> {
    let parts = (grid.levels() / 32).clamp(1, 8);
    let good = 1.05 * curve.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
    let promising = curve.windows(2).filter(|pair| pair[0].1.min(pair[1].1) <= good);
    let inner = |pair: &[(f64, f64)]| {
        let (from, gap) = (pair[0].0, pair[1].0 - pair[0].0);
        (1..parts).map(move |j| from + gap * j as f64 / parts as f64)
    };
    promising.flat_map(inner).collect()
}

/// Up to 256 scales under which the largest (the smallest) value is a level.
fn on_levels(sums: &LevelSums, grid: Grid) -> Vec<f64> {
    let (min, max) = sums.range();
    let top = (1..=grid.qmax.min(256)).map(|k| max / f64::from(k));
    let bottom = (1..=(-grid.qmin).min(256)).map(|k| -min / f64::from(k));
    top.chain(bottom).filter(|&s| s > 0.0).collect()
}

/// Least-squares steps from an `(error, scale)` until they stand still.
fn settle(sums: &LevelSums, grid: Grid, mut best: (f64, f64)) -> (f64, f64) {
    for _ in 0..8 {
        let Some(s) = sums.improve(best.1, grid) else { break };
        let error = sums.mse(s, grid);
        if error >= best.0 {
            break;
        }
        best = (error, s);
    }
    best
}

/// The floats around a real scale: at 16 bits a sample can tell them apart.
pub(super) fn neighbours(s: f64) -> impl Iterator<Item = f32> {
    let near = (s as f32).clamp(f32::MIN_POSITIVE, f32::MAX);
    [near.next_down(), near, near.next_up()].into_iter().filter(|s| s.is_normal())
}

/// The mean squared error of a real scale: eq 1 and 3 in `f64`, nothing rounded to `f32`. Zero without values.
pub(super) fn real_error(x: &Sample<'_>, s: f64, grid: Grid) -> f64 {
    let (lo, hi) = (f64::from(grid.qmin), f64::from(grid.qmax));
    mean(x, |x| f64::from(x) - s * (f64::from(x) / s).round_ties_even().clamp(lo, hi))
}

/// The mean squared error through eq 1 and 3 themselves. Zero without values.
pub(super) fn error(x: &Sample<'_>, s: f32, grid: Grid) -> f64 {
    mean(x, |x| {
        let code = quantize_value(x, s, 0, grid).expect("NaN was refused before");
        f64::from(restore_value(code, s, 0)) - f64::from(x)
    })
}

/// The weighted mean of the squares of `difference`.
fn mean(x: &Sample<'_>, difference: impl Fn(f32) -> f64) -> f64 {
    let (mut sum, mut total) = (0.0, 0.0);
    for (x, w) in x.iter() {
        let difference = difference(x);
        sum += w * difference * difference;
        total += w;
    }
    if total > 0.0 { sum / total } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use engine::rng::Rng;

    use super::super::optimum::optimum;
    use super::*;

    /// What the search finds by itself, as [`scale`] asks it.
    fn searched(x: &Sample<'_>, grid: Grid) -> f32 {
        let sums = LevelSums::new(x);
        search(&sums, grid, &sweep(sums.largest_scale(grid), 512), 16) as f32
    }

    /// Small tensors and wide grids are swept exactly: the search alone would miss the optimum of some of them.
    #[test]
    fn what_the_search_would_miss_is_swept() {
        let mut rng = Rng::new(1, 0);
        let mut missed = [0, 0];
        for (case, (values, bits)) in [(5, 4), (3000, 10)].into_iter().enumerate() {
            for _ in 0..[40, 4][case] {
                let x: Vec<f32> = (0..values).map(|_| rng.normal()).collect();
                let (x, grid) = (Sample::new(&x), Grid::signed(bits).unwrap());
                let best = best_scale(&x, grid).into_iter().flat_map(neighbours);
                let best = best.map(|s| error(&x, s, grid)).fold(f64::INFINITY, f64::min);
                assert_eq!(error(&x, scale(&x, grid) as f32, grid), best);
                missed[case] += usize::from(error(&x, searched(&x, grid), grid) > best);
            }
        }
        assert!(missed[0] > 0 && missed[1] > 0, "{missed:?}: has this test become blind?");
    }

    /// A hundred thousand values near one, and one at the `far` multiple of that which is best clipped: the scale is as far
    /// below the largest.
    #[test]
    fn heavy_tails_want_a_scale_far_below_the_largest() {
        let near: Vec<f32> = (1..=64).map(|i| i as f32 / 64.0).collect();
        for far in [30.0, 150.0, 700.0] {
            let x: Vec<f32> = near.iter().copied().chain([far]).collect();
            let weights: Vec<f64> = near.iter().map(|_| 1e9).chain([1.0]).collect();
            let (x, grid) = (Sample::weighted(&x, &weights), Grid::signed(4).unwrap());
            let (found, best) = (scale(&x, grid) as f32, optimum(&x, grid).scale);
            assert!(best < 0.2, "{best}: the bulk decides");
            let (found, best) = (error(&x, found, grid), error(&x, best, grid));
            assert!(found <= 1.001 * best, "{far}: {found}, {best}");
        }
    }

    #[test]
    fn the_symmetric_scale_stays_where_it_is_as_good() {
        // Both are exact under any power of two from 1/128 to 1/2.
        assert_eq!(scale(&Sample::new(&[-1.0, 0.5]), Grid::signed(8).unwrap()), 1.0 / 128.0);
        assert_eq!(error(&Sample::new(&[]), 0.5, Grid::signed(8).unwrap()), 0.0);
    }
}
