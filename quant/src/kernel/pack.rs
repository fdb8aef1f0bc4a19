//! Panels: weights in the order the micro-kernels read them, made once per layer.
//!
//! ```text
//! w [O][segment][k]   ->   panel [O / 16] [segment] [k / 4] [16][4] i8          Layout::Quads
//!                          panel [O / 16] [segment] [k / 2] [16][2] i16         Layout::Pairs
//! ```
//!
//! One [`Line`] is the innermost block: 64 bytes, one cache line, one 512-bit or two 256-bit registers.
//! Channels beyond `O` and codes beyond the last `k` are zero and add nothing.

use super::{K_GROUP, NR};

/// How a kernel wants the weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Sixteen channels by four `k` of 8 bits: for instructions that multiply bytes.
    Quads,
    /// Sixteen channels by two `k`, widened to 16 bits: for `vpmaddwd`.
    Pairs,
}

impl Layout {
    /// Lines for each [`K_GROUP`] codes of `k`.
    pub const fn lines_per_group(self) -> usize {
        match self {
            Self::Quads => 1,
            Self::Pairs => 2,
        }
    }

    /// Bytes of a weight, and of the code it is multiplied by.
    pub const fn weight_bytes(self) -> usize {
        match self {
            Self::Quads => 1,
            Self::Pairs => 2,
        }
    }
}

/// 64 bytes of weights.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub struct Line([u8; 64]);

impl Line {
    /// As `[16][4]` weights of 8 bits ([`Layout::Quads`]).
    pub fn quads(&self) -> &[[i8; 4]; NR] {
        bytemuck::cast_ref(&self.0)
    }
}

/// The packed weights of one layer.
#[derive(Clone)]
pub struct Panels {
    layout: Layout,
    lines: Vec<Line>,
    lines_per_panel: usize,
    /// `sum w` of each channel.
    sums: Vec<[i32; NR]>,
    /// The largest `|w|`.
    max_weight: i32,
}

impl Panels {
    /// Packs `channels` rows of `segments` runs of `len` values each; `w(channel, segment, k)`.
    pub fn new(
        layout: Layout,
        channels: usize,
        segments: usize,
        len: usize,
        w: impl Fn(usize, usize, usize) -> i8,
    ) -> Self {
        let lines_per_run = len.div_ceil(K_GROUP) * layout.lines_per_group();
        let lines_per_panel = segments * lines_per_run;
        let panels = channels.div_ceil(NR);
        let mut lines = vec![Line([0; 64]); panels * lines_per_panel];
        let mut sums = vec![[0i32; NR]; panels];
        let mut max_weight = 0;
        for o in 0..channels {
            for segment in 0..segments {
                let run = &mut lines[o / NR * lines_per_panel + segment * lines_per_run..][..lines_per_run];
                for k in 0..len {
                    let w = w(o, segment, k);
                    sums[o / NR][o % NR] = sums[o / NR][o % NR].wrapping_add(i32::from(w));
                    max_weight = max_weight.max(i32::from(w).abs());
                    match layout {
                        Layout::Quads => run[k / 4].0[o % NR * 4 + k % 4] = w as u8,
                        Layout::Pairs => {
                            let at = (o % NR * 2 + k % 2) * 2;
                            run[k / 2].0[at..at + 2].copy_from_slice(&i16::from(w).to_ne_bytes());
                        }
                    }
                }
            }
        }
        Self { layout, lines, lines_per_panel, sums, max_weight }
    }

    /// How they are packed.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Number of panels.
    pub fn count(&self) -> usize {
        self.sums.len()
    }

    /// Lines of one panel.
    pub fn lines_per_panel(&self) -> usize {
        self.lines_per_panel
    }

    /// The panel of channels `NR * index ..`.
    pub fn panel(&self, index: usize) -> &[Line] {
        &self.lines[index * self.lines_per_panel..][..self.lines_per_panel]
    }

    /// The weight of a channel at `k`, counted over all runs, each of a whole number of groups.
    pub fn weight(&self, channel: usize, k: usize) -> i8 {
        let (line, at) = match self.layout {
            Layout::Quads => (k / 4, channel % NR * 4 + k % 4),
            Layout::Pairs => (k / 2, (channel % NR * 2 + k % 2) * 2 + cfg!(target_endian = "big") as usize),
        };
        self.panel(channel / NR)[line].0[at] as i8
    }

    /// `sum w` of the channels of a panel, modulo `2^32`.
    pub fn sums(&self, index: usize) -> &[i32; NR] {
        &self.sums[index]
    }

    /// The largest `|w|`.
    pub fn max_weight(&self) -> i32 {
        self.max_weight
    }
}
