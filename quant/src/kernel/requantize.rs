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

use super::lanes::Lanes;
use super::{At, Epilogue, NR, Tile};
use crate::requantize::Requantize;

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
    /// Packs; `offset[c]` is added to every sum of channel `c`.
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

/// One value to write.
pub struct Output<'a> {
    /// Eq 7.
    pub q: &'a PackedRequantize,
    /// Low bytes, and high bytes if the codes have more than 8 bits.
    pub planes: &'a mut [Vec<u8>],
    /// Where in the planes.
    pub place: Place,
}

/// The value that is added.
#[derive(Clone, Copy)]
pub struct Residual<'a> {
    /// Low bytes, and high bytes if the codes have more than 8 bits.
    pub planes: &'a [Vec<u8>],
    /// Where in the planes.
    pub place: Place,
}

/// Writes the codes of every output.
pub struct RequantizeEpilogue<'a> {
    /// At least one.
    pub outputs: Vec<Output<'a>>,
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
        let width = NR.min(self.channels - at.channel);
        for output in &mut self.outputs {
            // A tile's positions may cross the ends of rows: one run of neighbours after the other.
            let (mut y, mut x, mut row) = (at.position / self.cols, at.position % self.cols, 0);
            while row < at.rows {
                let len = (self.cols - x).min(at.rows - row);
                let run = Run { tiles, row, len, channel: at.channel, width, y, x };
                // SAFETY: the tiles are of a kernel with the instructions of `L`.
                unsafe { run.requantize::<L>(output, self.residual) };
                (y, x, row) = (y + 1, 0, row + len);
            }
        }
    }
}

/// Neighbouring positions of a tile, in one row of the image.
struct Run<'a> {
    tiles: &'a [&'a Tile],
    /// The first one's row in the tile.
    row: usize,
    /// How many.
    len: usize,
    channel: usize,
    /// Channels of the panel that exist.
    width: usize,
    /// Place of the first one.
    y: usize,
    x: usize,
}

impl Run<'_> {
    /// Whole panels of 8-bit codes, which nearly all are, without a branch inside; everything else with.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`.
    #[inline(always)]
    unsafe fn requantize<L: Lanes>(&self, output: &mut Output<'_>, residual: Option<Residual<'_>>) {
        let q = output.q;
        let bytes =
            self.tiles.len() == 1 && output.planes.len() == 1 && residual.is_none_or(|r| r.planes.len() == 1);
        // SAFETY: the caller's promise.
        unsafe {
            match residual {
                _ if !bytes || self.width < NR || q.left > 0 => self.general::<L>(output, residual),
                None => self.plain::<L, false>(output, &[], output.place),
                Some(Residual { planes, place }) => self.plain::<L, true>(output, &planes[0], place),
            }
        }
    }

    /// One plane of everything, no left shift of the sums, sixteen channels.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`. (Offsets are checked here.)
    #[inline(always)]
    unsafe fn plain<L: Lanes, const RESIDUAL: bool>(&self, output: &mut Output<'_>, r: &[u8], place: Place) {
        let (q, step, last) = (output.q, output.place.step, self.len - 1);
        let (m, b) = &q.panels[self.channel / NR];
        let y = &mut output.planes[0][output.place.at(self.y, self.x) + self.channel..][..last * step + NR];
        let r = if RESIDUAL {
            &r[place.at(self.y, self.x) + self.channel..][..last * place.step + NR]
        } else {
            r
        };
        let sums = &self.tiles[0][self.row..][..self.len];
        // SAFETY: the caller vouches for the instructions; sums, `m` and `b` have sixteen numbers, and the slices of
        // bytes end sixteen behind the last position.
        unsafe {
            for lane in (0..NR).step_by(L::LANES) {
                let (m, b) = (L::load(m.as_ptr().add(lane)), L::load_wide(b.as_ptr().add(lane)));
                let (m_r, k_r) = (L::splat(q.residual.1), L::splat(q.residual.0 as i32));
                let (t, lo, hi) = (L::splat(q.shift as i32), L::splat(q.lo), L::splat(q.hi));
                let (mut y, mut r) = (y.as_mut_ptr().add(lane), r.as_ptr().wrapping_add(lane));
                for sums in sums {
                    let mut v = L::add_wide(L::load(sums.as_ptr().add(lane)).mul(m), b);
                    if RESIDUAL {
                        v = L::add_wide(v, L::load_u8(r).shl(k_r).mul(m_r));
                        r = r.wrapping_add(place.step);
                    }
                    L::upper(v).sra(t).clamp(lo, hi).store_u8(y);
                    y = y.wrapping_add(step);
                }
            }
        }
    }

    /// Any number of planes and channels.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`. (Offsets are checked by `read` and `write`.)
    #[inline(always)]
    unsafe fn general<L: Lanes>(&self, output: &mut Output<'_>, residual: Option<Residual<'_>>) {
        let q = output.q;
        let (m, b) = &q.panels[self.channel / NR];
        let sums = |plane: &Tile, i: usize, lane: usize| plane[self.row + i][lane..].as_ptr();
        // SAFETY: the caller vouches for the instructions; sums, `m` and `b` have sixteen numbers.
        unsafe {
            let (m_r, k_r) = (L::splat(q.residual.1), L::splat(q.residual.0 as i32));
            let (k, t, lo, hi) =
                (L::splat(q.left as i32), L::splat(q.shift as i32), L::splat(q.lo), L::splat(q.hi));
            let byte = L::splat(8);
            for lane in (0..self.width).step_by(L::LANES) {
                let (m, b) = (L::load(m.as_ptr().add(lane)), L::load_wide(b.as_ptr().add(lane)));
                let width = L::LANES.min(self.width - lane);
                for i in 0..self.len {
                    let mut v = L::add_wide(L::load(sums(self.tiles[0], i, lane)).shl(k).mul(m), b);
                    if let [_, high] = self.tiles {
                        v = L::add_wide(v, L::shl8_wide(L::load(sums(high, i, lane)).shl(k).mul(m)));
                    }
                    if let Some(Residual { planes, place }) = residual {
                        let offset = place.at(self.y, self.x + i) + self.channel + lane;
                        let mut r: L = read(&planes[0], offset, width);
                        if let Some(high) = planes.get(1) {
                            r = r.add(read::<L>(high, offset, width).shl(byte));
                        }
                        v = L::add_wide(v, r.shl(k_r).mul(m_r));
                    }
                    let code = L::upper(v).sra(t).clamp(lo, hi);
                    let offset = output.place.at(self.y, self.x + i) + self.channel + lane;
                    write(code, &mut output.planes[0], offset, width);
                    if let Some(high) = output.planes.get_mut(1) {
                        write(code.sra(byte), high, offset, width);
                    }
                }
            }
        }
    }
}

/// `width` bytes from `offset`, at most as many as there are lanes.
///
/// # Safety
/// The CPU has the instructions of `L`.
#[inline(always)]
unsafe fn read<L: Lanes>(from: &[u8], offset: usize, width: usize) -> L {
    let from = &from[offset..offset + width];
    // SAFETY: as many bytes as lanes: the slice's, or the copy's.
    unsafe {
        if width == L::LANES {
            return L::load_u8(from.as_ptr());
        }
        let mut copy = [0u8; NR];
        copy[..width].copy_from_slice(from);
        L::load_u8(copy.as_ptr())
    }
}

/// `width` bytes to `offset`, at most as many as there are lanes.
///
/// # Safety
/// The CPU has the instructions of `L`.
#[inline(always)]
unsafe fn write<L: Lanes>(code: L, to: &mut [u8], offset: usize, width: usize) {
    let to = &mut to[offset..offset + width];
    // SAFETY: as many bytes as lanes: the slice's, or the copy's.
    unsafe {
        if width == L::LANES {
            return code.store_u8(to.as_mut_ptr());
        }
        let mut copy = [0u8; NR];
        code.store_u8(copy.as_mut_ptr());
        to.copy_from_slice(&copy[..width]);
    }
}
