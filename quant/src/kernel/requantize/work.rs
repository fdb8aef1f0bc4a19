//! The loops of requantization over one tile: the fast one, and the one that takes everything.
#![allow(unsafe_code)]

use super::super::lanes::Lanes;
use super::super::plane::Plane;
use super::super::{At, NR, Tile};
use super::{Output, PackedRequantize, Place, Residual};

/// What is the same in all positions of a tile, for some of its channels.
struct Constants<L: Lanes> {
    m: L,
    b: L::Wide,
    t: L,
    m_r: L,
    k_r: L,
}

impl<L: Lanes> Constants<L> {
    /// For the channels from `lane` on in a panel.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`; `lane` is a multiple of [`Lanes::LANES`] below [`NR`].
    #[inline(always)]
    unsafe fn new(q: &PackedRequantize, panel: usize, lane: usize) -> Self {
        let (m, b) = &q.panels[panel];
        // SAFETY: `m` and `b` have sixteen numbers; the rest is the caller's promise.
        unsafe {
            Self {
                m: L::load(m.as_ptr().add(lane)),
                b: L::load_wide(b.as_ptr().add(lane)),
                t: L::splat(q.shift as i32),
                m_r: L::splat(q.residual.1),
                k_r: L::splat(q.residual.0 as i32),
            }
        }
    }

    /// The codes of one position before they are clipped: no left shift of the sums, one plane.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`; `sums` and, with a residual, `r` lead to as many numbers as there are lanes.
    #[inline(always)]
    unsafe fn codes<const RESIDUAL: bool>(&self, sums: *const i32, r: *const u8) -> L {
        // SAFETY: the caller's promise.
        unsafe {
            // book: codes
            let mut v = L::add_wide(L::load(sums).mul(self.m), self.b);
            if RESIDUAL {
                v = L::add_wide(v, L::load_u8(r).shl(self.k_r).mul(self.m_r));
            }
            L::upper(v).sra(self.t)
            // book end
        }
    }
}

/// A tile, and where its codes go.
pub(super) struct Work<'a> {
    pub(super) tiles: &'a [&'a Tile],
    pub(super) at: At,
    /// Positions in a row.
    pub(super) cols: usize,
    /// Channels of the panel that exist.
    pub(super) width: usize,
}

impl Work<'_> {
    /// One plane of everything, no left shift of the sums, sixteen channels: what nearly all tiles are, without a branch
    /// inside. Positions go through by fours: four registers of codes are one of bytes.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`. (Offsets are checked here.)
    #[inline(always)]
    pub(super) unsafe fn plain<L: Lanes, const RESIDUAL: bool>(
        &self,
        output: &Output,
        plane: &mut [u8],
        r: &[u8],
        place: Place,
    ) {
        let (q, at, step) = (&output.q, self.at, output.place.step);
        let (lo, hi) = (q.lo, q.hi);
        for lane in (0..NR).step_by(L::LANES) {
            // SAFETY: the caller vouches for the instructions.
            let constants = unsafe { Constants::<L>::new(q, at.channel / NR, lane) };
            // A tile's positions may cross the ends of rows: one run of neighbours after the other.
            let (mut y, mut x, mut row) = (at.y, at.x, 0);
            while row < at.rows {
                let len = (self.cols - x).min(at.rows - row);
                let sums = &self.tiles[0][row..row + len];
                let to = output.place.at(y, x) + at.channel;
                let to = plane[to..][..(len - 1) * step + NR].as_mut_ptr().wrapping_add(lane);
                let from = if RESIDUAL {
                    r[place.at(y, x) + at.channel..][..(len - 1) * place.step + NR]
                        .as_ptr()
                        .wrapping_add(lane)
                } else {
                    r.as_ptr()
                };
                let sums = sums.as_ptr().cast::<i32>().wrapping_add(lane);
                let (sum, r) = (|i| sums.wrapping_add(i * NR), |i| from.wrapping_add(i * place.step));
                let mut i = 0;
                // SAFETY: the caller vouches for the instructions; a row of sums has sixteen numbers, and the slices of
                // bytes end sixteen behind the run's last position.
                unsafe {
                    while i + 4 <= len {
                        let codes = [
                            constants.codes::<RESIDUAL>(sum(i), r(i)),
                            constants.codes::<RESIDUAL>(sum(i + 1), r(i + 1)),
                            constants.codes::<RESIDUAL>(sum(i + 2), r(i + 2)),
                            constants.codes::<RESIDUAL>(sum(i + 3), r(i + 3)),
                        ];
                        L::store_four_u8(codes, lo, hi, to.add(i * step), step);
                        i += 4;
                    }
                    while i < len {
                        let code = constants.codes::<RESIDUAL>(sum(i), r(i));
                        code.clamp(L::splat(lo), L::splat(hi)).store_u8(to.add(i * step));
                        i += 1;
                    }
                }
                (y, x, row) = (y + 1, 0, row + len);
            }
        }
    }

    /// Any number of planes and channels.
    ///
    /// # Safety
    /// The CPU has the instructions of `L`. (Offsets are checked by `read` and `write`.)
    #[inline(always)]
    pub(super) unsafe fn general<L: Lanes>(
        &self,
        output: &Output,
        planes: &mut [Plane],
        residual: Option<Residual<'_>>,
    ) {
        let (q, at) = (&output.q, self.at);
        let sums = |plane: &Tile, i: usize, lane: usize| plane[i][lane..].as_ptr();
        // SAFETY: the caller vouches for the instructions; a row of sums has sixteen numbers.
        unsafe {
            let (k, lo, hi) = (L::splat(q.left as i32), L::splat(q.lo), L::splat(q.hi));
            let byte = L::splat(8);
            for lane in (0..self.width).step_by(L::LANES) {
                let Constants { m, b, t, m_r, k_r } = Constants::<L>::new(q, at.channel / NR, lane);
                let (width, channel) = (L::LANES.min(self.width - lane), at.channel + lane);
                let (mut y, mut x) = (at.y, at.x);
                for i in 0..at.rows {
                    let mut v = L::add_wide(L::load(sums(self.tiles[0], i, lane)).shl(k).mul(m), b);
                    if let [_, high] = self.tiles {
                        v = L::add_wide(v, L::shl8_wide(L::load(sums(high, i, lane)).shl(k).mul(m)));
                    }
                    if let Some(Residual { planes: from, place }) = residual {
                        let offset = place.at(y, x) + channel;
                        let mut r: L = read(&from[0], offset, width);
                        if let Some(high) = from.get(1) {
                            r = r.add(read::<L>(high, offset, width).shl(byte));
                        }
                        v = L::add_wide(v, r.shl(k_r).mul(m_r));
                    }
                    let code = L::upper(v).sra(t).clamp(lo, hi);
                    let offset = output.place.at(y, x) + channel;
                    write(code, &mut planes[0], offset, width);
                    if let Some(high) = planes.get_mut(1) {
                        write(code.sra(byte), high, offset, width);
                    }
                    x += 1;
                    if x == self.cols {
                        (y, x) = (y + 1, 0);
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
