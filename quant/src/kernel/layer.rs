//! What a kernel is given: a layer over one image, and what becomes of its sums.

use super::lanes::Lanes;
use super::pack::Panels;
use super::{K_GROUP, MicroKernel, NR, Tile};

/// One layer's work on one image.
///
/// Output position `(y, x)` multiplies the codes at `y * row_step + x * col_step`: `segments` runs of
/// `groups * 4` codes, `segment_stride` apart. For a convolution over a padded NHWC image those are the
/// `KH` rows of the window, each `KW * C` codes long and contiguous. A linear layer has one segment.
#[derive(Clone, Copy)]
pub struct Layer<'a> {
    /// The padded image; codes of 16 bits come as two planes, low bytes first.
    pub planes: &'a [&'a [u8]],
    /// Rows of output positions.
    pub rows: usize,
    /// Output positions in a row.
    pub cols: usize,
    /// Codes from a row's positions to the next row's.
    pub row_step: usize,
    /// Codes from a position to the next.
    pub col_step: usize,
    /// Runs of a position.
    pub segments: usize,
    /// Codes from one run to the next.
    pub segment_stride: usize,
    /// Length of a run, in groups of [`K_GROUP`] codes.
    pub groups: usize,
    /// The weights.
    pub panels: &'a Panels,
}

/// What is done with the sums while they are hot.
pub trait Epilogue {
    /// `tiles[plane][m][n]` is the sum of position `at.position + m` and channel `at.channel + n`; rows
    /// from `at.rows` on, and channels beyond the layer's last, are without meaning. A position may come again, with
    /// the same sums.
    ///
    /// Implementations are `#[inline(always)]`, so that they are compiled for the kernel's instruction set.
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At);
}

/// Where a tile stands.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Its first position, `y * cols + x`.
    pub position: usize,
    /// The first position's row.
    pub y: usize,
    /// The first position's place in its row.
    pub x: usize,
    /// Number of positions.
    pub rows: usize,
    /// Its first channel, a multiple of [`NR`].
    pub channel: usize,
}

impl<'a> Layer<'a> {
    /// A matrix product: each of `positions` rows of `groups * 4` codes, one behind the other, by the weights.
    pub fn product(planes: &'a [&'a [u8]], positions: usize, groups: usize, panels: &'a Panels) -> Self {
        Self {
            planes,
            rows: 1,
            cols: positions,
            row_step: 0,
            col_step: groups * K_GROUP,
            segments: 1,
            segment_stride: 0,
            groups,
            panels,
        }
    }

    /// What makes the kernels' unchecked indexing sound.
    pub(super) fn check(&self, kernel: &MicroKernel) {
        assert!(self.rows > 0 && self.cols > 0 && self.segments > 0 && self.groups > 0, "an empty layer");
        assert!(matches!(self.planes.len(), 1 | 2), "one plane or two");
        let reach = || {
            let y = (self.rows - 1).checked_mul(self.row_step)?;
            let x = (self.cols - 1).checked_mul(self.col_step)?;
            let run = (self.segments - 1).checked_mul(self.segment_stride)?;
            let len = self.groups.checked_mul(K_GROUP)?;
            y.checked_add(x)?.checked_add(run)?.checked_add(len)
        };
        let reach = reach().expect("positions beyond all memory");
        assert!(self.planes.iter().all(|p| reach <= p.len()), "a position's codes end beyond the plane");
        let (panels, lines) = (self.panels, kernel.layout.lines_per_group());
        assert_eq!(panels.layout(), kernel.layout, "panels packed for another kernel");
        assert_eq!(panels.lines_per_panel(), self.segments * self.groups * lines, "panels of another length");
        assert!(panels.max_weight() <= kernel.max_weight, "weights too large for {}", kernel.name);
    }
}

// book: sweep_ref
/// Every sum as the formula reads, in 64 bits: `[plane][position][channel]`, channels up to a multiple of
/// [`NR`].
pub fn sweep_ref(layer: &Layer<'_>) -> Vec<i64> {
    let (positions, channels) = (layer.rows * layer.cols, layer.panels.count() * NR);
    let mut sums = Vec::with_capacity(layer.planes.len() * positions * channels);
    for i in 0..layer.planes.len() * positions * channels {
        let (plane, position, channel) = (i / channels / positions, i / channels % positions, i % channels);
        let start = position / layer.cols * layer.row_step + position % layer.cols * layer.col_step;
        let run = layer.groups * K_GROUP;
        let product = |k| {
            let x = layer.planes[plane][start + k / run * layer.segment_stride + k % run];
            i64::from(x) * i64::from(layer.panels.weight(channel, k))
        };
        sums.push((0..layer.segments * run).map(product).sum());
    }
    sums
}
// book end
