//! The values a scale rule looks at: a slice, or a histogram's bin centres with their counts.

use std::borrow::Cow;

/// Finite values, each with a weight (1 unless given).
pub struct Sample<'a> {
    values: &'a [f32],
    weights: Option<&'a [f64]>,
}

/// The moments of a [`Sample`] that closed-form rules need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moments {
    /// Largest `|x|`.
    pub max_abs: f64,
    /// Largest `x`, at least 0.
    pub max: f64,
    /// `E|x|`.
    pub mean_abs: f64,
    /// `E[x^2]`.
    pub mean_square: f64,
}

impl<'a> Sample<'a> {
    /// Values of equal weight.
    pub fn new(values: &'a [f32]) -> Self {
        Self { values, weights: None }
    }

    /// Values with weights (counts or densities), one each.
    ///
    /// # Panics
    /// If the lengths differ.
    pub fn weighted(values: &'a [f32], weights: &'a [f64]) -> Self {
        assert_eq!(values.len(), weights.len(), "one weight for each value");
        Self { values, weights: Some(weights) }
    }

    /// The values.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Whether the values have weights of their own.
    pub fn is_weighted(&self) -> bool {
        self.weights.is_some()
    }

    /// `(value, weight)` of each.
    pub fn iter(&self) -> impl Iterator<Item = (f32, f64)> + '_ {
        self.values.iter().enumerate().map(|(i, &x)| (x, self.weights.map_or(1.0, |w| w[i])))
    }

    /// The moments; zeros if there are no values.
    pub fn moments(&self) -> Moments {
        let mut m = Moments::default();
        let mut total = 0.0;
        for (x, w) in self.iter() {
            let x = f64::from(x);
            m.max_abs = m.max_abs.max(x.abs());
            m.max = m.max.max(x);
            m.mean_abs += w * x.abs();
            m.mean_square += w * x * x;
            total += w;
        }
        if total > 0.0 {
            m.mean_abs /= total;
            m.mean_square /= total;
        }
        m
    }

    /// Values and weights in ascending order of value; weights stay absent where all are 1.
    pub(crate) fn sorted(&self) -> (Vec<f32>, Option<Cow<'a, [f64]>>) {
        let Some(weights) = self.weights else {
            let mut values = self.values.to_vec();
            values.sort_unstable_by(f32::total_cmp);
            return (values, None);
        };
        if self.values.is_sorted() {
            return (self.values.to_vec(), Some(Cow::Borrowed(weights)));
        }
        let mut order: Vec<usize> = (0..self.values.len()).collect();
        order.sort_by(|&a, &b| self.values[a].total_cmp(&self.values[b]));
        let values = order.iter().map(|&i| self.values[i]).collect();
        (values, Some(order.iter().map(|&i| weights[i]).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_by_hand() {
        let (x, w) = ([-3.0, 1.0, 2.0], [1.0, 0.5, 2.5]);
        let m = Sample::weighted(&x, &w).moments();
        assert_eq!((m.max_abs, m.max, m.mean_abs, m.mean_square), (3.0, 2.0, 8.5 / 4.0, 19.5 / 4.0));
        let m = Sample::new(&x).moments();
        assert_eq!((m.max_abs, m.max, m.mean_abs, m.mean_square), (3.0, 2.0, 2.0, 14.0 / 3.0));
        let m = Sample::new(&[]).moments();
        assert_eq!((m.max_abs, m.max, m.mean_abs, m.mean_square), (0.0, 0.0, 0.0, 0.0));
    }

    #[test]
    fn sorting_takes_the_weights_along() {
        let (x, w) = ([2.0, -3.0, 1.0], [2.5, 1.0, 0.5]);
        assert!(Sample::weighted(&x, &w).is_weighted() && !Sample::new(&x).is_weighted());
        let (values, weights) = Sample::weighted(&x, &w).sorted();
        assert_eq!((values, &*weights.unwrap()), (vec![-3.0, 1.0, 2.0], &[1.0, 0.5, 2.5][..]));
        let (values, weights) = Sample::weighted(&[1.0, 2.0], &[5.0, 3.0]).sorted();
        assert_eq!((values, &*weights.unwrap()), (vec![1.0, 2.0], &[5.0, 3.0][..]));
        assert_eq!(Sample::new(&x).sorted(), (vec![-3.0, 1.0, 2.0], None));
    }
}
