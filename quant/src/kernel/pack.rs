//! Panels: weights in the order the micro-kernels read them, made once per layer.
//!
//! ```text
//! w [O][segment][k]   ->   panel [O / NR] [segment] [k / 4] [NR] [4]
//! ```
//!
//! One [`Line`] is the innermost `[NR][4]`: 64 bytes, one cache line, one 512-bit register. Channels
//! beyond `O` and bytes beyond the last `k` are zero and add nothing.

use super::{K_GROUP, NR};

/// Sixteen channels by four values of `k`.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line(pub [[i8; K_GROUP]; NR]);

/// The packed weights of one layer.
pub struct Panels {
    lines: Vec<Line>,
    lines_per_panel: usize,
}

impl Panels {
    /// Packs `channels` rows of `segments` runs of `len` values each; `w(channel, segment, k)`.
    pub fn new(channels: usize, segments: usize, len: usize, w: impl Fn(usize, usize, usize) -> i8) -> Self {
        let groups = len.div_ceil(K_GROUP);
        let lines_per_panel = segments * groups;
        let mut lines = vec![Line([[0; K_GROUP]; NR]); channels.div_ceil(NR) * lines_per_panel];
        for o in 0..channels {
            for segment in 0..segments {
                for k in 0..len {
                    let line = (o / NR) * lines_per_panel + segment * groups + k / K_GROUP;
                    lines[line].0[o % NR][k % K_GROUP] = w(o, segment, k);
                }
            }
        }
        Self { lines, lines_per_panel }
    }

    /// The panel of channels `NR * index ..`.
    pub fn panel(&self, index: usize) -> &[Line] {
        &self.lines[index * self.lines_per_panel..][..self.lines_per_panel]
    }
}
