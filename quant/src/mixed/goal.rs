//! What a search is for: a floor under the accuracy, or a limit of the size.

use super::{NO_NETWORK, Point};

/// What a search is for. The two are each other's dual: along the front both size and accuracy grow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The smallest network of at least this accuracy.
    Smallest {
        /// Percent, or whatever is measured.
        floor: f64,
    },
    /// The most accurate network of at most this size.
    MostAccurate {
        /// In whatever the layers are counted in.
        limit: usize,
    },
}

impl Goal {
    /// Whether a network of this size and accuracy keeps to the bound; [`NO_NETWORK`](super::NO_NETWORK) does not.
    pub fn admits(self, size: usize, accuracy: f64) -> bool {
        let within = match self {
            Self::Smallest { floor } => accuracy >= floor,
            Self::MostAccurate { limit } => size <= limit,
        };
        within && accuracy > NO_NETWORK
    }

    /// The answer among the points of a front, which are in the order of their sizes.
    ///
    /// ```
    /// use quant::mixed::{Goal, Point};
    /// let point = |size, accuracy| Point { bits: vec![], size, accuracy };
    /// let front = [point(1, 70.0), point(3, 90.0), point(5, 95.0)];
    /// assert_eq!(Goal::Smallest { floor: 80.0 }.best(&front), Some(&front[1]));
    /// assert_eq!(Goal::MostAccurate { limit: 4 }.best(&front), Some(&front[1]));
    /// assert_eq!(Goal::MostAccurate { limit: 0 }.best(&front), None);
    /// let at_most = Goal::MostAccurate { limit: 4 };
    /// assert!(at_most.prefers(&point(1, 90.0), Some(&front[1])) && !at_most.prefers(&front[1], Some(&point(1, 90.0))));
    /// assert!(!Goal::MostAccurate { limit: 4 }.admits(1, quant::mixed::NO_NETWORK));
    /// ```
    pub fn best(self, front: &[Point]) -> Option<&Point> {
        let mut admitted = front.iter().filter(|p| self.admits(p.size, p.accuracy));
        match self {
            Self::Smallest { .. } => admitted.next(),
            Self::MostAccurate { .. } => admitted.next_back(),
        }
    }

    /// Whether `point` is a better answer than what is `known`, which is one; of equally accurate ones the smaller is.
    pub fn prefers(self, point: &Point, known: Option<&Point>) -> bool {
        let better = |known: &Point| match self {
            Self::Smallest { .. } => point.size < known.size,
            Self::MostAccurate { .. } if point.accuracy == known.accuracy => point.size < known.size,
            Self::MostAccurate { .. } => point.accuracy > known.accuracy,
        };
        self.admits(point.size, point.accuracy) && known.is_none_or(better)
    }
}
