//! Pareto's order: one candidate beats another if it is no worse in size and accuracy, and better in one.

/// One measured candidate.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Bits of each layer.
    pub bits: Vec<u32>,
    /// [`size_bytes`](super::size_bytes), in whatever the layers are counted in.
    pub size: usize,
    /// What the evaluation said.
    pub accuracy: f64,
}

impl Point {
    /// Whether it is no larger and no less accurate than `other`, and not equal in both.
    pub fn beats(&self, other: &Self) -> bool {
        let no_worse = self.size <= other.size && self.accuracy >= other.accuracy;
        no_worse && (self.size < other.size || self.accuracy > other.accuracy)
    }
}

/// The points that no other beats, by size. Of points equal in both only the first in the order of bits is kept.
///
/// ```
/// use quant::mixed::{Point, front};
/// let point = |size, accuracy| Point { bits: vec![], size, accuracy };
/// let all = [point(3, 90.0), point(1, 70.0), point(2, 60.0), point(4, 90.0)];
/// assert_eq!(front(&all), [point(1, 70.0), point(3, 90.0)]);
/// ```
pub fn front(points: &[Point]) -> Vec<Point> {
    let mut sorted: Vec<&Point> = points.iter().collect();
    sorted.sort_by(|a, b| {
        a.size.cmp(&b.size).then(b.accuracy.total_cmp(&a.accuracy)).then(a.bits.cmp(&b.bits))
    });
    let mut reached = f64::NEG_INFINITY;
    sorted.retain(|p| {
        let better = p.accuracy > reached;
        reached = reached.max(p.accuracy);
        better
    });
    sorted.into_iter().cloned().collect()
}
