//! The exact minimum of the squared error over all scales: a sweep over the scales at which a code changes.
//!
//! With the codes `k_i` held fixed the error is a quadratic of the scale, and nearest codes are the best codes of a
//! scale, so the true error is the least of those quadratics (2a):
//!
//! ```text
//! E(s)      =  min over k of  E_k(s),       E_k(s) = sum_i w_i (x_i - s k_i)^2
//! min_s E(s)  =  min over k of  min_s E_k(s)  =  min over k of  ( sum w x^2 - B_k^2 / C_k )      at s = B_k / C_k
//!                                              B_k = sum w x k,   C_k = sum w k^2
//! ```
//!
//! Only those `k` matter that are nearest for some scale. As `s` falls from infinity, `|x_i|` passes from code `j - 1` to
//! code `j` at `s = |x_i| / (j - 1/2)`, up to the end of its side of the grid: these are all the breakpoints there are,
//! at most `n 2^b` of them. Sorted, they are walked through from the largest down; at each one term of the sums changes.
//!
//! # Without cancellation
//! `sum w x^2 - B^2 / C` loses everything where one outlier makes up the sum. So the scales are cut into bands, and in a
//! band that begins at `s_0` the sums are kept of the remainders `r_i = x_i - s_0 k_i`:
//!
//! ```text
//! E_k(s_0 + d) = R - 2 d P + d^2 C,      R = sum w r^2,  P = sum w r k,      least at d = P / C: R - P^2 / C
//! ```
//!
//! `s_0` has 24 bits and a code 16, so that `r_i` is exact. Bands are independent: threads share them out.
//!
//! # Where it may stop
//! Values beyond the grid's end clip, and that part of the error, `sum w max(0, |x| - s (k_max + 1/2))^2`, only grows as
//! `s` falls. Once it alone exceeds the best error found, nothing smaller can be better.

use rayon::prelude::*;

use super::Sample;
use crate::Grid;

/// Breakpoints in a band, about.
const BAND: f64 = 131_072.0;

/// A value that can have a code other than zero: its magnitude, its weight, the largest magnitude of its codes.
#[derive(Clone, Copy)]
struct Item {
    a: f64,
    w: f64,
    end: f64,
}

impl Item {
    /// The magnitude of its code under `s`; on a tie, the smaller one.
    fn code(&self, s: f64) -> f64 {
        (self.a / s - 0.5).ceil().clamp(0.0, self.end)
    }
}

/// The number of breakpoints that [`best_scale`] would walk through at the most.
pub fn breakpoints(x: &Sample<'_>, grid: Grid) -> f64 {
    items(x, grid).iter().map(|item| item.end).sum()
}

/// The scale of least squared error among all positive real scales; `None` if every value is zero or on the side that
/// the grid does not have, so that all scales are alike.
pub fn best_scale(x: &Sample<'_>, grid: Grid) -> Option<f64> {
    let items = items(x, grid);
    let largest = items.iter().map(|item| item.a).fold(0.0, f64::max);
    let mut top = f64::from_bits((largest * 4.0).to_bits() >> 29 << 29); // nothing has a code yet
    let mut best = (f64::INFINITY, 0.0);
    let threads = 2 * rayon::current_num_threads();
    while top > 0.0 && clipping(&items, top) <= best.0 {
        // A few bands at a time: enough for the threads, and not much beyond the place where the walk may stop.
        let mut bands = Vec::with_capacity(threads);
        for _ in 0..threads {
            let bottom = band_below(&items, top);
            bands.push((top, bottom));
            top = bottom;
        }
        let found: Vec<_> = bands.par_iter().filter_map(|&(top, bottom)| walk(&items, top, bottom)).collect();
        best = found.into_iter().fold(best, |best, point| if point.0 < best.0 { point } else { best });
    }
    (best.1 > 0.0).then_some(best.1)
}

/// The error of the values that clip under `s`; it grows as `s` falls.
fn clipping(items: &[Item], s: f64) -> f64 {
    items.iter().map(|Item { a, w, end }| w * (a - s * (end + 0.5)).max(0.0).powi(2)).sum()
}

fn items(x: &Sample<'_>, grid: Grid) -> Vec<Item> {
    let end = |x: f32| f64::from(if x > 0.0 { grid.qmax } else { -grid.qmin });
    let all = x.iter().map(|(x, w)| Item { a: f64::from(x).abs(), w, end: end(x) });
    all.filter(|item| item.a > 0.0 && item.end > 0.0 && item.w > 0.0).collect()
}

/// The lower end of the band that begins at `top`: some [`BAND`] breakpoints below, at most an octave; zero where every
/// value has its last code. A number of 24 bits.
fn band_below(items: &[Item], top: f64) -> f64 {
    let inside = items.iter().filter(|item| item.code(top) < item.end);
    let per_ratio: f64 = inside.map(|item| item.a / top).sum();
    if per_ratio == 0.0 {
        return 0.0;
    }
    let ratio = 1.0 + (BAND / per_ratio).clamp(1e-6, 1.0);
    let bottom = f64::from_bits((top / ratio).to_bits() >> 29 << 29);
    // Below the smallest normal float there is no scale.
    if bottom < f64::from(f32::MIN_POSITIVE) { 0.0 } else { bottom }
}

/// The least `(error, scale)` over the codes that are nearest somewhere in `[bottom, top]`, but for those that are so at the
/// top: the band above ended with them.
fn walk(items: &[Item], top: f64, bottom: f64) -> Option<(f64, f64)> {
    let [mut r2, mut rk, mut kk] = [0.0; 3];
    let mut events: Vec<(f64, u32, f64)> = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let k = item.code(top);
        let r = item.a - top * k;
        r2 += item.w * r * r;
        rk += item.w * r * k;
        kk += item.w * k * k;
        let last = item.code(bottom); // its end where the bottom is zero
        let mut j = k + 1.0;
        while j <= last {
            events.push((item.a / (j - 0.5), i as u32, j));
            j += 1.0;
        }
    }
    // Equal breakpoints may come in any order: each order passes through codes that are nearest on the tie. Sorting by all
    // three makes the sums the same in every run.
    events.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)).then(a.2.total_cmp(&b.2)));
    let least = |r2: f64, rk: f64, kk: f64| ((r2 - rk * rk / kk).max(0.0), top + rk / kk);
    let mut best: Option<(f64, f64)> = None;
    for (_, i, j) in events {
        let Item { a, w, .. } = items[i as usize];
        let k = j - 1.0;
        let r = a - top * k;
        r2 += w * top * (top - 2.0 * r);
        rk += w * (r - top * j);
        kk += w * (k + j);
        let here = least(r2, rk, kk);
        if best.is_none_or(|best| here.0 < best.0) {
            best = Some(here);
        }
    }
    best.filter(|(_, s)| *s > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(x: &[f32], s: f64, grid: Grid) -> f64 {
        let (lo, hi) = (f64::from(grid.qmin), f64::from(grid.qmax));
        let term = |&x: &f32| (f64::from(x) - s * (f64::from(x) / s).round().clamp(lo, hi)).powi(2);
        x.iter().map(term).sum()
    }

    #[test]
    fn two_values_by_hand() {
        // Codes 1 and 3 fit exactly with s = 1; on the grid -2..=1, codes 0 and 1 are the best: s = 3, error 1.
        let x = [1.0, 3.0];
        assert_eq!(best_scale(&Sample::new(&x), Grid::unsigned(2).unwrap()), Some(1.0));
        assert_eq!(best_scale(&Sample::new(&x), Grid::signed(2).unwrap()), Some(3.0));
        assert_eq!(best_scale(&Sample::new(&[-1.0, 0.0]), Grid::unsigned(2).unwrap()), None);
        // What has no code but zero is no part of the sums: it would take all their digits.
        assert_eq!(best_scale(&Sample::new(&[-1e9, 1.0, 3.0]), Grid::unsigned(2).unwrap()), Some(1.0));
    }

    #[test]
    fn it_begins_above_every_breakpoint_and_of_equals_the_largest_scale_stays() {
        assert_eq!(best_scale(&Sample::new(&[100.0]), Grid::unsigned(1).unwrap()), Some(100.0));
        // Codes 1 and 3, 2 and 6, up to 5 and 15: exact all of them.
        assert_eq!(best_scale(&Sample::new(&[1.0, 3.0]), Grid::unsigned(4).unwrap()), Some(1.0));
    }

    #[test]
    fn breakpoints_are_those_of_values_that_can_have_a_code() {
        let count = |x: &[f32], signed| breakpoints(&Sample::new(x), Grid::new(2, signed).unwrap());
        assert_eq!([count(&[1.0, 3.0], false), count(&[1.0, 3.0], true)], [6.0, 2.0]);
        assert_eq!([count(&[-1.0, 0.0, 3.0], false), count(&[-1.0, 0.0, 3.0], true)], [3.0, 3.0]);
    }

    /// Codes up to 3 end at 3.5 steps: of 10, 3 are left at a step of 2, twice counted.
    #[test]
    fn what_clips_by_hand() {
        let item = |a| Item { a, w: 2.0, end: 3.0 };
        assert_eq!(clipping(&[item(10.0), item(7.0), item(1.0)], 2.0), 18.0);
    }

    #[test]
    fn a_band_is_an_octave_or_a_number_of_breakpoints_and_the_last_one_ends_at_zero() {
        let item = |a, end| Item { a, w: 1.0, end };
        assert_eq!(band_below(&[item(1.0, 3.0)], 4.0), 2.0);
        // From 1 down to 1 / (1 + BAND / 1e6): the million has as many breakpoints there, and the half has its last code.
        let bottom = band_below(&[item(1e6, 1e9), item(0.75, 1.0)], 1.0);
        assert!((1e6 / bottom - 1e6 - BAND).abs() < 1.0, "{bottom}");
        assert_eq!(bottom, f64::from(bottom as f32), "24 bits");
        assert_eq!(band_below(&[item(1.0, 3.0)], 0.25), 0.0);
        let least = f64::from(f32::MIN_POSITIVE);
        assert_eq!(band_below(&[item(least, 3.0)], 1.5 * least), 0.0);
        assert_eq!(band_below(&[item(least, 3.0)], 2.0 * least), least);
    }

    #[test]
    fn an_outlier_takes_nothing_from_the_others_precision() {
        // The outlier is exact at s = 1e9 / k; the nine others then decide which k: none reaches them, all become zero.
        let x: Vec<f32> = (1..10).map(|i| 0.1 * i as f32).chain([1e9]).collect();
        let grid = Grid::signed(4).unwrap();
        let s = best_scale(&Sample::new(&x), grid).unwrap();
        let expected: f64 = x[..9].iter().map(|&v| f64::from(v).powi(2)).sum();
        assert!((error(&x, s, grid) / expected - 1.0).abs() < 1e-6, "{s}");
    }

    #[test]
    fn no_scale_of_a_fine_grid_is_better() {
        let x: Vec<f32> = (0..300).map(|i| (i as f32 * 0.7).sin().powi(3) * (1.0 + (i % 7) as f32)).collect();
        for bits in [1, 2, 3, 4, 6, 8, 10] {
            for signed in [true, false] {
                let grid = Grid::new(bits, signed).unwrap();
                let found = error(&x, best_scale(&Sample::new(&x), grid).unwrap(), grid);
                let fine = (1..40_000).map(|i| error(&x, f64::from(i) * 4e-4, grid));
                assert!(found <= fine.fold(f64::INFINITY, f64::min) * (1.0 + 1e-12), "{bits} {signed}");
            }
        }
    }

    #[test]
    fn the_same_for_any_number_of_threads() {
        let x: Vec<f32> = (0..5000).map(|i| (i as f32 * 0.37).sin() * (i as f32 * 0.011).cos()).collect();
        let scale = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| best_scale(&Sample::new(&x), Grid::signed(8).unwrap()))
        };
        assert_eq!(scale(1), scale(4));
    }
}
