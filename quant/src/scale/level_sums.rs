//! The exact squared error of any scale, in time proportional to the number of levels.
//!
//! Sort the values once and keep running sums of `w`, `w x`, `w x^2`. Under a scale `s` the values of
//! one code `k` are a contiguous run, from the tie `(k - 1/2) s` to the tie `(k + 1/2) s` (the first and
//! last run reach to infinity: they clip), and their error needs only the differences of the sums:
//!
//! ```text
//! sum w (x - k s)^2  =  sum w x^2  -  2 k s sum w x  +  (k s)^2 sum w
//! ```
//!
//! So after `n log n` once, a scale costs one search per level instead of a pass over the data, and
//! a search over hundreds of scales is affordable. A table of equal-width buckets starts each search
//! near its end. Where there are more levels than a quarter of the values, a pass is cheaper and is
//! what happens.

use super::Sample;
use crate::Grid;

/// Sorted values and their running sums.
pub struct LevelSums {
    x: Vec<f32>,
    /// `sums[i]` is over the first `i` values: `[sum w, sum w x, sum w x^2]`.
    sums: Vec<[f64; 3]>,
    /// `start[j]` is the number of values below the lower edge of bucket `j`.
    start: Vec<u32>,
    /// Lower edge of bucket 0, and buckets per unit of x.
    origin: f64,
    per_unit: f64,
}

const BUCKETS: usize = 4096;

impl LevelSums {
    /// Sorts and sums.
    pub fn new(sample: &Sample<'_>) -> Self {
        let (x, weights) = sample.sorted();
        let mut sums = Vec::with_capacity(x.len() + 1);
        let mut sum = [0.0; 3];
        sums.push(sum);
        for (i, &v) in x.iter().enumerate() {
            let (v, w) = (f64::from(v), weights.as_ref().map_or(1.0, |w| w[i]));
            sum[0] += w;
            sum[1] += w * v;
            sum[2] += w * v * v;
            sums.push(sum);
        }
        let (lo, hi) =
            (f64::from(x.first().copied().unwrap_or(0.0)), f64::from(x.last().copied().unwrap_or(0.0)));
        let width = (hi - lo).max(f64::MIN_POSITIVE);
        let mut start = Vec::with_capacity(BUCKETS + 1);
        let mut i = 0;
        for j in 0..=BUCKETS {
            let edge = lo + width * j as f64 / BUCKETS as f64;
            while i < x.len() && f64::from(x[i]) < edge {
                i += 1;
            }
            start.push(i as u32);
        }
        Self { x, sums, start, origin: lo, per_unit: BUCKETS as f64 / width }
    }

    /// Total weight.
    pub fn total(&self) -> f64 {
        self.sums[self.x.len()][0]
    }

    /// The smallest and the largest value; zeros if there is none.
    pub fn range(&self) -> (f64, f64) {
        let value = |x: Option<&f32>| x.copied().map_or(0.0, f64::from);
        (value(self.x.first()), value(self.x.last()))
    }

    /// The scale from which on no value clips on `grid`. Zero if every value is zero or on the side the grid does not have.
    ///
    /// Of the scales above it, only those up to twice as large need to be tried: half of a scale above that still clips
    /// nothing, and every level of a scale is one of its half too.
    pub fn largest_scale(&self, grid: Grid) -> f64 {
        let reach = |x: Option<&f32>, code: i32| match code {
            0 => 0.0,
            _ => (x.copied().map_or(0.0, f64::from) / f64::from(code)).max(0.0),
        };
        reach(self.x.first(), grid.qmin).max(reach(self.x.last(), grid.qmax))
    }

    /// Mean squared error `E[(x - x_hat)^2]` under scale `s` and `z = 0`.
    pub fn mse(&self, s: f64, grid: Grid) -> f64 {
        let mut error = 0.0;
        self.for_each_level(s, grid, |k, [w, wx, wxx]| {
            let level = k * s;
            error += wxx - 2.0 * level * wx + level * level * w;
        });
        error.max(0.0) / self.total()
    }

    /// The best scale for the codes that `s` assigns, `sum x x_int / sum x_int^2` (least squares, (2b)). Its
    /// error is never above that of `s`. `None` if every code is zero.
    // book: improve
    pub fn improve(&self, s: f64, grid: Grid) -> Option<f64> {
        let (mut numerator, mut denominator) = (0.0, 0.0);
        self.for_each_level(s, grid, |k, [w, wx, _]| {
            numerator += k * wx;
            denominator += k * k * w;
        });
        (denominator > 0.0 && numerator > 0.0).then(|| numerator / denominator)
    }
    // book end

    /// `f(code, sums over its run)` for every code that has values.
    fn for_each_level(&self, s: f64, grid: Grid, mut f: impl FnMut(f64, [f64; 3])) {
        let n = self.x.len();
        if n == 0 {
            return;
        }
        let code =
            |x: f32| (f64::from(x) / s).round_ties_even().clamp(f64::from(grid.qmin), f64::from(grid.qmax));
        let (first, last) = (code(self.x[0]), code(self.x[n - 1]));
        let mut from = 0;
        let mut run = |from: usize, to: usize, k: f64| {
            let (a, b) = (self.sums[from], self.sums[to]);
            f(k, [b[0] - a[0], b[1] - a[1], b[2] - a[2]]);
        };
        if (last - first) * 4.0 > n as f64 {
            while from < n {
                let k = code(self.x[from]);
                let mut to = from + 1;
                while to < n && code(self.x[to]) == k {
                    to += 1;
                }
                run(from, to, k);
                from = to;
            }
            return;
        }
        let mut k = first;
        while k < last {
            let to = self.below((k + 0.5) * s).max(from);
            if to > from {
                run(from, to, k);
            }
            from = to;
            k += 1.0;
        }
        run(from, n, last);
    }

    /// Number of values below `edge`. Values on the edge may count either way: on a tie both
    /// neighbouring levels are equally far.
    fn below(&self, edge: f64) -> usize {
        let bucket = ((edge - self.origin) * self.per_unit).clamp(0.0, (BUCKETS - 1) as f64) as usize;
        let bucket = bucket.saturating_sub(1)..=(bucket + 1).min(BUCKETS - 1);
        let from = self.start[*bucket.start()] as usize;
        // The last bucket's upper edge is the largest value, which is not below it.
        let last = *bucket.end() == BUCKETS - 1;
        let to = if last { self.x.len() } else { self.start[*bucket.end() + 1] as usize };
        from + self.x[from..to].partition_point(|&x| f64::from(x) < edge)
    }
}

#[cfg(test)]
mod tests {
    use super::super::heuristic::real_error;
    use super::*;

    /// Values that come close to each other and lie apart, in no order.
    fn values(n: usize) -> Vec<f32> {
        (0..n).map(|i| (i as f32 * 0.7).sin().powi(5) * (1.0 + (i % 7) as f32) - 0.3).collect()
    }

    /// Both ways, by level (a thousand values) and by value (thirty), with weights and without.
    #[test]
    fn the_error_of_a_scale_is_that_of_the_values() {
        for n in [30, 1000] {
            let x = values(n);
            let w: Vec<f64> = (0..n).map(|i| (i % 5) as f64 + 0.5).collect();
            for sample in [Sample::new(&x), Sample::weighted(&x, &w)] {
                let sums = LevelSums::new(&sample);
                for (bits, signed) in [(1, true), (1, false), (3, true), (6, true), (6, false)] {
                    let grid = Grid::new(bits, signed).unwrap();
                    for s in (1..60).map(|i| 0.03 * f64::from(i)) {
                        let (got, want) = (sums.mse(s, grid), real_error(&sample, s, grid));
                        assert!((got - want).abs() <= 1e-12 * want.max(1.0), "{n} {bits}: {got} for {want}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_search_in_buckets_counts_what_is_below() {
        for x in [values(1000), vec![2.0; 9], vec![-1.0, 5.0], (0..9000).map(|i| i as f32).collect()] {
            let sums = LevelSums::new(&Sample::new(&x));
            let (lo, hi) = sums.range();
            let edges = (-20..=520).map(|i| lo + (hi - lo + 1.0) * f64::from(i) / 500.0);
            for edge in edges.chain(x.iter().map(|&x| f64::from(x))) {
                assert_eq!(sums.below(edge), x.iter().filter(|&&x| f64::from(x) < edge).count(), "{edge}");
            }
        }
    }

    #[test]
    fn sums_by_hand() {
        let (x, w) = ([3.0, -2.0, 0.5, 1.0], [1.0, 2.0, 4.0, 1.0]);
        let sums = LevelSums::new(&Sample::weighted(&x, &w));
        assert_eq!((sums.total(), sums.range()), (8.0, (-2.0, 3.0)));
        // With s = 1 the codes of -2, 1/2, 1 and 3 on -2..=1 are -2, 0, 1 and 1: (2 * 4 + 1 + 3) / (2 * 4 + 1 + 1).
        assert_eq!(sums.improve(1.0, Grid::signed(2).unwrap()), Some(12.0 / 10.0));
        assert_eq!(sums.mse(1.0, Grid::signed(2).unwrap()), (4.0 * 0.25 + 4.0) / 8.0);
        assert_eq!(sums.improve(100.0, Grid::signed(2).unwrap()), None);
        // Sums of very different sizes lose the smaller terms: a quotient is made only of what is left on both sides.
        let improved = |x: [f32; 2], w: [f64; 2], signed| {
            LevelSums::new(&Sample::weighted(&x, &w)).improve(1.0, Grid::new(2, signed).unwrap())
        };
        assert_eq!(improved([1e-3, 1.0], [1e20, 1e3], true), None); // the denominator is lost
        assert_eq!(improved([-1e3, 1.0], [1e15, 1.0], false), None); // the numerator is
        let largest = |bits, signed| sums.largest_scale(Grid::new(bits, signed).unwrap());
        assert_eq!([largest(2, true), largest(2, false), largest(1, true)], [3.0, 1.0, 2.0]);
        let none = LevelSums::new(&Sample::new(&[]));
        assert_eq!((none.range(), none.largest_scale(Grid::signed(2).unwrap())), ((0.0, 0.0), 0.0));
    }
}
