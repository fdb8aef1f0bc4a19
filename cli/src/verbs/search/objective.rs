//! What a search makes small.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// What a search minimizes.
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
    /// A size that the search has counted, in bytes or bit operations.
    pub fn whole(self, size: usize) -> usize {
        match self {
            Self::Bytes => size,
            Self::BitOperations => 1024 * size, // `LayerSize::of_operations` counts in these
        }
    }

    /// The same in the unit that people read.
    pub fn shown(self, size: usize) -> f64 {
        match self {
            Self::Bytes => self.whole(size) as f64 / 1024.0,
            Self::BitOperations => self.whole(size) as f64 / 1e9,
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
}
