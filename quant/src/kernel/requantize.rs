//! Eq 7 as an epilogue: the sums of a tile become codes while they are in the first-level cache.
//!
//! ```text
//! v = (acc << k) m + (r << k_r) m_r + b          acc = tiles[0] + 256 tiles[1] for 16-bit activations
//! y = clip( upper half of v >> t, lo, hi )
//! ```
//!
//! With two planes, `(acc << k) m` is the sum of `(low << k) m` and `((high << k) m) << 8`: both factors have 32 bits
//! although `acc` may have more. [`Requantize::is_safe`] proved that nothing overflows.
#![allow(unsafe_code)]

#[cfg(test)]
mod tests;
mod work;

use super::lanes::Lanes;
use super::plane::Plane;
use super::{At, Epilogue, NR, Tile};
use crate::requantize::Requantize;
use work::Work;

/// Eq 7 in the order the kernels read it.
#[derive(Clone, Debug)]
pub struct PackedRequantize {
    left: u32,
    shift: u32,
    lo: i32,
    hi: i32,
    residual: (u32, i32),
    /// `m` and `b` of each panel; 0 beyond the last channel.
    panels: Vec<([i32; NR], [i64; NR])>,
}

impl PackedRequantize {
    /// Packs; `offset[c]` is added to every sum of channel `c`. `0 <= lo <= hi`, and `hi` fits the planes that are written, as in
    /// every checked [`IntGraph`](crate::int_graph::IntGraph).
    pub fn new(q: &Requantize, offset: &[i64]) -> Self {
        let channels = q.multiplier.len();
        let mut panels = vec![([0; NR], [0; NR]); channels.div_ceil(NR)];
        for c in 0..channels {
            let (m, b) = &mut panels[c / NR];
            m[c % NR] = q.multiplier[c];
            b[c % NR] =
                q.bias[c].wrapping_add((offset[c] << q.left).wrapping_mul(i64::from(q.multiplier[c])));
        }
        let Requantize { left, shift, lo, hi, residual, .. } = *q;
        Self { left, shift, lo, hi, residual: residual.unwrap_or((0, 0)), panels }
    }
}

/// Where codes stand: one or two planes of bytes, position `(y, x)` at `start + y row + x step`.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Of position (0, 0).
    pub start: usize,
    /// Bytes from a row to the next.
    pub row: usize,
    /// Bytes from a position to the next.
    pub step: usize,
}

impl Place {
    fn at(&self, y: usize, x: usize) -> usize {
        self.start + y * self.row + x * self.step
    }
}

/// How a value is made, and where it stands.
pub struct Output {
    /// Eq 7.
    pub q: PackedRequantize,
    /// Where in its planes.
    pub place: Place,
}

/// The value that is added.
#[derive(Clone, Copy)]
pub struct Residual<'a> {
    /// Low bytes, and high bytes if the codes have more than 8 bits.
    pub planes: &'a [Plane],
    /// Where in the planes.
    pub place: Place,
}

/// Writes the codes of every output.
pub struct RequantizeEpilogue<'a> {
    /// At least one.
    pub outputs: &'a [Output],
    /// Of each output: low bytes, and high bytes if the codes have more than 8 bits.
    pub planes: &'a mut [Vec<Plane>],
    /// What is added to the sums, if anything.
    pub residual: Option<Residual<'a>>,
    /// Positions in a row.
    pub cols: usize,
    /// Channels of all outputs and of the residual.
    pub channels: usize,
}

impl Epilogue for RequantizeEpilogue<'_> {
    #[inline(always)]
    fn tile<L: Lanes>(&mut self, tiles: &[&Tile], at: At) {
        let (width, cols, residual) = (NR.min(self.channels - at.channel), self.cols, self.residual);
        let work = Work { tiles, at, cols, width };
        for (output, planes) in self.outputs.iter().zip(&mut *self.planes) {
            let one_plane = tiles.len() == 1 && planes.len() == 1;
            debug_assert!(
                !one_plane || (0..=255).contains(&output.q.lo) && (output.q.lo..=255).contains(&output.q.hi)
            );
            let bytes = one_plane && residual.is_none_or(|r| r.planes.len() == 1);
            // SAFETY: the tiles are of a kernel with the instructions of `L`.
            unsafe {
                match residual {
                    _ if !bytes || width < NR || output.q.left > 0 => {
                        work.general::<L>(output, planes, residual)
                    }
                    None => work.plain::<L, false>(output, &mut planes[0], &[], output.place),
                    Some(Residual { planes: r, place }) => {
                        work.plain::<L, true>(output, &mut planes[0], &r[0], place);
                    }
                }
            }
        }
    }
}
