//! The smallest and the largest value so far.

use engine::Result;

use super::{Observer, Range};

/// The range of everything seen.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MinMax {
    range: Option<Range>,
}

impl Observer for MinMax {
    fn observe(&mut self, x: &[f32]) -> Result<()> {
        if let Some(batch) = Range::of(x)? {
            self.range = Some(self.range.map_or(batch, |r| r.union(batch)));
        }
        Ok(())
    }

    fn range(&self) -> Option<Range> {
        self.range
    }
}
