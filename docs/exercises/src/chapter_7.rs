//! Chapter 7: statistics that take rounding back.

use crate::{Answer, Unsolved};

/// (7a) and (7b): the running `[mean, variance]` of a channel, moved by what rounding did to those of a sample: `f` of the
/// float network, `q` of the quantized one. Where one of the variances is zero, the running variance stays.
pub fn corrected(_running: [f64; 2], _f: [f64; 2], _q: [f64; 2]) -> Answer<[f64; 2]> {
    Err(Unsolved)
}
