//! Axes: from where to where, and ticks at round numbers.

/// An axis from `lo` to `hi`.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// Where it begins.
    pub lo: f64,
    /// Where it ends, above `lo`.
    pub hi: f64,
    /// Names at positions instead of round numbers.
    pub names: Vec<(f64, String)>,
    /// Whether only whole numbers have a meaning on it.
    pub whole: bool,
}

impl Axis {
    /// An axis over these values; a single value gets some room.
    pub fn over(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let (lo, hi) = if lo > hi { (0.0, 1.0) } else { (lo, hi) };
        let room = match lo {
            _ if hi > lo => 0.0,
            0.0 => 0.5,
            _ => 0.5 * lo.abs(),
        };
        Self { label: label.to_string(), lo: lo - room, hi: hi + room, names: Vec::new(), whole: false }
    }

    /// The axis with a little more room above.
    pub fn headroom(mut self) -> Self {
        self.hi += 0.06 * (self.hi - self.lo);
        self
    }

    /// The axis with a little more room below.
    pub fn footroom(mut self) -> Self {
        self.lo -= 0.06 * (self.hi - self.lo);
        self
    }

    /// The axis without what lies above `most`, if that is above where it begins.
    pub fn at_most(mut self, most: f64) -> Self {
        if most > self.lo {
            self.hi = self.hi.min(most);
        }
        self
    }

    /// The axis without what lies below `least`, if that is below where it ends.
    pub fn at_least(mut self, least: f64) -> Self {
        if least < self.hi {
            self.lo = self.lo.max(least);
        }
        self
    }

    /// The axis of whole numbers.
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Positions and texts of the ticks; numbers are about `count`, names are all.
    pub fn ticks(&self, count: f64) -> Vec<(f64, String)> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        let mut ticks = round_numbers(self.lo, self.hi, count);
        if self.whole && ticks.iter().any(|(value, _)| value.fract() != 0.0) {
            ticks = (self.lo.ceil() as i64..=self.hi.floor() as i64)
                .map(|value| (value as f64, value.to_string()))
                .collect();
        }
        ticks
    }
}

/// At most about `count` round numbers (1, 2 or 5 times a power of ten apart) in `lo..=hi`.
fn round_numbers(lo: f64, hi: f64, count: f64) -> Vec<(f64, String)> {
    let rough = (hi - lo) / count.max(2.0);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    // As many digits as tell neighbours apart.
    let digits = (lo.abs().max(hi.abs()) / step).log10().ceil().max(1.0) as usize;
    (first..=last)
        .map(|i| {
            let value = i as f64 * step;
            let text = if !(-5.0..=5.0).contains(&step.log10()) {
                format!("{value:.digits$e}")
            } else {
                format!("{value:.decimals$}")
            };
            (value, text)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |lo, hi| round_numbers(lo, hi, 6.0).into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-3.0, 12.0), ["0", "5", "10"]);
        assert_eq!(texts(0.0, 0.006), ["0.000", "0.001", "0.002", "0.003", "0.004", "0.005", "0.006"]);
        for (lo, hi) in [(0.0, 1e-9), (-7.3, 1e7), (99.0, 99.5)] {
            let ticks = round_numbers(lo, hi, 6.0);
            assert!(
                (2..=8).contains(&ticks.len())
                    && ticks.iter().all(|(v, _)| *v >= lo - 1e-9 && *v <= hi + 1.0)
            );
        }
    }

    #[test]
    fn whole_numbers_have_no_halves_between_them() {
        let axis = |lo, hi| Axis::over("epoch", [lo, hi]).whole();
        let texts = |axis: Axis| axis.ticks(6.0).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        assert_eq!(texts(axis(1.0, 3.0)), ["1", "2", "3"]);
        assert_eq!(texts(axis(1.0, 1.0)), ["1"]);
        assert_eq!(texts(axis(0.0, 100.0)).len(), 6);
        assert_eq!(
            (axis(90.0, 100.0).headroom().at_most(100.0).hi, axis(101.0, 102.0).at_most(100.0).hi),
            (100.0, 102.0)
        );
    }

    #[test]
    fn an_axis_over_nothing_or_one_value_has_room() {
        for values in [&[f64::NAN][..], &[3.0, 3.0], &[], &[0.0], &[1e-30], &[1.0, 1.0 + 2e-9]] {
            let axis = Axis::over("x", values.iter().copied());
            assert!(axis.lo < axis.hi);
            let mut texts: Vec<String> = axis.ticks(6.0).into_iter().map(|(_, text)| text).collect();
            texts.dedup();
            assert!(texts.len() > 2 && texts.len() == axis.ticks(6.0).len(), "{values:?}: {texts:?}");
        }
        let zero = Axis::over("x", [0.0]);
        assert_eq!((zero.lo, zero.hi), (-0.5, 0.5));
    }
}
