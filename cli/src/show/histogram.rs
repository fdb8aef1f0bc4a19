//! Counts of values in bins of equal width, and their picture in a terminal.

use crate::show::text_table::number;

/// Counts over `lo..=hi`; values outside are in the first and last bin.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Where the first bin begins.
    pub lo: f64,
    /// Where the last bin ends.
    pub hi: f64,
    /// Values in each bin.
    pub counts: Vec<u64>,
}

/// Rows of the picture in a terminal.
const ROWS: usize = 8;
/// From empty to full, in eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Histogram {
    /// Counts these values.
    pub fn of(values: &[f32], lo: f64, hi: f64, bins: usize) -> Self {
        let hi = if hi > lo { hi } else { lo + lo.abs().max(1.0) };
        let mut counts = vec![0; bins.max(1)];
        let last = counts.len() - 1;
        for &value in values {
            let place = (f64::from(value) - lo) / (hi - lo) * (last + 1) as f64;
            counts[(place.max(0.0) as usize).min(last)] += 1;
        }
        Self { lo, hi, counts }
    }

    /// From the smallest to the largest of the values.
    pub fn over(values: &[f32], bins: usize) -> Self {
        let (lo, hi) =
            values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)));
        if lo > hi {
            Self::of(values, 0.0, 1.0, bins)
        } else {
            Self::of(values, f64::from(lo), f64::from(hi), bins)
        }
    }

    /// Width of a bin.
    pub fn width(&self) -> f64 {
        (self.hi - self.lo) / self.counts.len() as f64
    }

    /// Number of values.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// A picture of one column a bin, with `levels` marked below and the ends of the range under them.
    pub fn picture(&self, levels: &[f64]) -> String {
        let most = self.counts.iter().copied().max().unwrap_or(0).max(1) as f64;
        let mut lines = Vec::new();
        for row in (0..ROWS).rev() {
            let cell = |&count: &u64| {
                let eighths = count as f64 / most * (8 * ROWS) as f64;
                // whatever is there shows
                let least = f64::from(u8::from(row == 0 && count > 0));
                EIGHTHS[(eighths - (8 * row) as f64).max(least).min(8.0) as usize]
            };
            lines.push(self.counts.iter().map(cell).collect::<String>().trim_end().to_string());
        }
        let column = |x: f64| ((x - self.lo) / self.width()) as usize;
        let mut axis = vec!['─'; self.counts.len()];
        for &level in levels.iter().filter(|l| (self.lo..=self.hi).contains(*l)) {
            axis[column(level).min(self.counts.len() - 1)] = '┴';
        }
        lines.push(axis.into_iter().collect());
        let (lo, hi) = (number(self.lo), number(self.hi));
        let room = self.counts.len().saturating_sub(lo.len() + hi.len());
        lines.push(format!("{lo}{}{hi}", " ".repeat(room)));
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fall_into_their_bins_and_outliers_into_the_last() {
        let h = Histogram::of(&[-9.0, 0.0, 0.49, 0.5, 1.0, 2.0], 0.0, 1.0, 2);
        assert_eq!((h.counts.as_slice(), h.total(), h.width()), ([3, 3].as_slice(), 6, 0.5));
        assert_eq!(Histogram::over(&[], 3).counts, [0; 3]);
        assert_eq!(Histogram::over(&[2.0, 2.0], 2).counts, [2, 0]);
    }

    #[test]
    fn the_picture_shows_the_highest_bin_full_and_the_levels() {
        let h = Histogram { lo: -1.0, hi: 1.0, counts: vec![1, 64, 32, 0] };
        let picture = h.picture(&[-1.0, 0.0, 7.0]);
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines.len(), ROWS + 2);
        assert_eq!((lines[0], lines[ROWS - 1], lines[ROWS]), (" █", "▁██", "┴─┴─"));
        assert!(lines[ROWS + 1].starts_with("-1.000") && lines[ROWS + 1].ends_with("1.000"));
    }
}
