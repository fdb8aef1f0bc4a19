//! What a search makes small, and how such sizes are shown.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What a search makes small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Objective {
    /// Bytes of weights (6a).
    #[default]
    Bytes,
    /// Bit operations of an image (6l).
    BitOperations,
}

impl Objective {
    /// How many bytes or bit operations the search counts as one: `LayerSize::of_operations` has units of 1,024.
    fn counted(self) -> usize {
        match self {
            Self::Bytes => 1,
            Self::BitOperations => 1024,
        }
    }

    /// How many bytes or bit operations are one of the unit that people read.
    fn read(self) -> f64 {
        match self {
            Self::Bytes => 1024.0,
            Self::BitOperations => 1e9,
        }
    }

    /// A size that the search has counted, in bytes or bit operations.
    pub fn whole(self, size: usize) -> usize {
        self.counted().saturating_mul(size)
    }

    /// Bytes or bit operations in the unit that people read.
    pub fn shown(self, whole: usize) -> f64 {
        whole as f64 / self.read()
    }

    /// The largest size as the search counts it that is at most `shown` of that unit.
    pub fn within(self, shown: f64) -> usize {
        let size = (shown * self.read() / self.counted() as f64) as usize;
        // The product may fall short of a whole number by a rounding.
        let next = size.saturating_add(1);
        if self.shown(self.whole(next)) <= shown { next } else { size }
    }

    /// Whichever of the two it is, in the unit that people read.
    pub fn of(self, bytes: usize, operations: usize) -> f64 {
        match self {
            Self::Bytes => self.shown(bytes),
            Self::BitOperations => self.shown(operations),
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref)] // serde passes a reference
    pub fn is_bytes(&self) -> bool {
        *self == Self::Bytes
    }

    /// That unit.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Bytes => "KiB",
            Self::BitOperations => "G bit operations",
        }
    }

    /// What the unit is of, for the axis of a plot.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Bytes => "KiB of weights",
            Self::BitOperations => "G bit operations of an image",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_within_a_size_is_shown_as_no_more() {
        for objective in [Objective::Bytes, Objective::BitOperations] {
            // The last is 4,068,173 units of bit operations, by a product that is a little less.
            for shown in [0.0, 1.5, 33.3, 4.165_809_152] {
                let size = objective.within(shown);
                assert!(objective.shown(objective.whole(size)) <= shown);
                assert!(objective.shown(objective.whole(size + 1)) > shown);
            }
        }
        assert_eq!(Objective::Bytes.within(33.0), 33 * 1024);
        assert_eq!(Objective::BitOperations.within(4.165_809_152), 4_068_173);
    }
}
