//! A moving average of each batch's extremes, so that one odd batch does not set the scale for good.
//!
//! ```text
//! max <- decay * max + (1 - decay) * max of the batch        and the same for min    (5a)
//! ```
//!
//! The first batch sets the average; after it, a batch's influence halves every 69 batches at decay
//! 0.99.

use engine::Result;
use serde::{Deserialize, Serialize};

use super::{Observer, Range};

/// The moving average of a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MovingAverage {
    decay: f32,
    range: Option<Range>,
}

impl MovingAverage {
    /// The decay used in training.
    pub const DECAY: f32 = 0.99;

    /// An average that starts with the first batch, or with `range`.
    pub fn new(decay: f32, range: Option<Range>) -> Self {
        Self { decay, range }
    }

    /// Takes in the range of a batch.
    // book: update
    pub fn update(&mut self, batch: Range) {
        let mix = |old: f32, new: f32| self.decay * old + (1.0 - self.decay) * new;
        self.range = Some(match self.range {
            Some(old) => Range { min: mix(old.min, batch.min), max: mix(old.max, batch.max) },
            None => batch,
        });
    }
    // book end
}

impl Default for MovingAverage {
    fn default() -> Self {
        Self::new(Self::DECAY, None)
    }
}

impl Observer for MovingAverage {
    fn observe(&mut self, x: &[f32]) -> Result<()> {
        if let Some(batch) = Range::of(x)? {
            self.update(batch);
        }
        Ok(())
    }

    fn range(&self) -> Option<Range> {
        self.range
    }
}
