//! Forward: transform the patches, 36 matrix products, transform back with the epilogue.
//!
//! A block of tiles goes through all three before the next block begins, so that what lies between them stays in the
//! first-level cache (16 and 32 channels) or close to it.

use super::{
    Filters, Layout, PATCH, POINTS, Place, TILE, output_column, point_stride, tiles, transform_input,
};
use crate::kernel::conv::{Epilogue, MAX_NR};
use crate::kernel::tile::{Segment, dot};
use crate::kernel::{Kernel, Vector};

/// `y = conv(x, w)` with stride 1 and padding 1, of some images.
pub(crate) struct WinogradConv<'a> {
    /// The images; what lies around them is not read and counts as zero.
    pub x: &'a [f32],
    /// Where they are in `x`.
    pub x_layout: Layout,
    /// Transformed filters.
    pub filters: &'a Filters,
    /// Images, height and width; the latter two multiples of [`TILE`].
    pub dims: [usize; 3],
    /// Result.
    pub y: &'a mut [f32],
    /// Where the results are in `y`.
    pub y_layout: Layout,
    /// What is done to the results.
    pub epilogue: Epilogue<'a>,
    /// At least [`WinogradConv::scratch_len`] floats.
    pub scratch: &'a mut [f32],
}

/// Tiles of a block: `v` of 36 points takes 36 KiB with 16 channels (and with 32); with 64 channels the transformed
/// filters are 576 KiB, and reading them for fewer than 8 tiles would take longer than using them.
fn block(c: usize) -> usize {
    (256 / c).clamp(8, 16)
}

impl WinogradConv<'_> {
    /// Floats of scratch for transformed patches and products.
    pub(crate) fn scratch_len(filters: &Filters) -> usize {
        let block = block(filters.c);
        POINTS * (point_stride(block, filters.c) + point_stride(block, filters.o))
    }

    /// The bounds that make the unchecked indexing sound.
    fn check(&self, lanes: usize) {
        let (&Filters { c, o, .. }, [n, h, w]) = (self.filters, self.dims);
        assert!(n > 0 && h > 0 && w > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(lanes) && o.is_multiple_of(self.filters.nr * lanes));
        assert!(self.x_layout.len(n, h, w * c) <= self.x.len(), "x is too short");
        assert!(self.y_layout.len(n, h, w * o) <= self.y.len(), "y is too short");
        assert!(self.scratch.len() >= Self::scratch_len(self.filters), "scratch is too short");
        assert!(self.epilogue.bias.is_none_or(|b| b.len() == o), "one bias per channel");
        assert!(self.epilogue.residual.is_none_or(|r| r.len() == self.y.len()), "the residual is like y");
    }

    /// Transforms the products `m` of tile `t` back and writes its results.
    ///
    /// # Safety
    /// [`check`](Self::check) has passed, `t` is a tile of the images, `m` points to its first product.
    #[inline(always)]
    unsafe fn write_tile<V: Vector>(&mut self, t: usize, m: *const f32, m_stride: usize) {
        let (o, [_, h, w]) = (self.filters.o, self.dims);
        let Epilogue { bias, residual, relu } = self.epilogue;
        let first = Place::of(t, [h, w]).offset(&self.y_layout, o);
        // SAFETY: the caller's contract.
        unsafe {
            for o0 in (0..o).step_by(V::LANES) {
                let mut half = [[V::zero(); TILE]; PATCH]; // [column][row]
                for (j, half) in half.iter_mut().enumerate() {
                    let mut column = [V::zero(); PATCH];
                    for (i, value) in column.iter_mut().enumerate() {
                        *value = V::load(m.add((i * PATCH + j) * m_stride + o0));
                    }
                    *half = output_column(column);
                }
                let bias = match bias {
                    Some(b) => V::load(b.as_ptr().add(o0)),
                    None => V::zero(),
                };
                for i in 0..TILE {
                    let row = output_column([
                        half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i],
                    ]);
                    for (j, value) in row.into_iter().enumerate() {
                        let at = first + i * self.y_layout.row + j * o + o0;
                        let mut value = value.add(bias);
                        if let Some(r) = residual {
                            value = value.add(V::load(r.as_ptr().add(at)));
                        }
                        if relu {
                            value = V::zero().max(value);
                        }
                        value.store(self.y.as_mut_ptr().add(at));
                    }
                }
            }
        }
    }
}

impl Kernel for WinogradConv<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(mut self) {
        self.check(V::LANES);
        let (&Filters { c, o, nr, .. }, [n, h, w]) = (self.filters, self.dims);
        let (total, block) = (n * tiles(h, w), block(c));
        let (v_stride, m_stride) = (point_stride(block, c), point_stride(block, o));
        let v = self.scratch.as_mut_ptr();
        for start in (0..total).step_by(block) {
            let count = block.min(total - start);
            // SAFETY: `check` bounded the images, the results and the scratch, which holds `v` and `m` of a block;
            // the caller vouches for the instructions.
            unsafe {
                let m = v.add(POINTS * v_stride);
                let tiles = start..start + count;
                transform_input::<V>(self.x.as_ptr(), &self.x_layout, [h, w, c], tiles, v, v_stride);
                for point in 0..POINTS {
                    let u = self.filters.data.as_ptr().add(point * c * o);
                    let (v, m) = (v.add(point * v_stride), m.add(point * m_stride));
                    match nr {
                        1 => multiply::<V, 1>(v, u, m, [count, c, o]),
                        2 => multiply::<V, 2>(v, u, m, [count, c, o]),
                        _ => multiply::<V, MAX_NR>(v, u, m, [count, c, o]),
                    }
                }
                for slot in 0..count {
                    self.write_tile::<V>(start + slot, m.add(slot * o), m_stride);
                }
            }
        }
    }
}

/// `m[t, o] = sum over c of v[t, c] u[c, o]` with `u` in panels of `NR` vectors.
///
/// # Safety
/// `v [count, c]`, `u` (`c * o` floats) and `m [count, o]` are there; `o` is a multiple of `NR` vectors.
#[inline(always)]
unsafe fn multiply<V: Vector, const NR: usize>(
    v: *const f32,
    u: *const f32,
    m: *mut f32,
    [count, c, o]: [usize; 3],
) {
    let segment = [Segment { x: 0, k: 0, len: c }];
    // SAFETY: the caller's contract.
    unsafe {
        for o0 in (0..o).step_by(NR * V::LANES) {
            let mut t = 0;
            while t < count {
                let (v, u, m) = (v.add(t * c), u.add(o0 * c), m.add(t * o + o0));
                t += match (V::REGISTERS / 2 / NR).min(count - t) {
                    16.. => multiply_tile::<V, 16, NR>(v, u, m, &segment, [c, o]),
                    8.. => multiply_tile::<V, 8, NR>(v, u, m, &segment, [c, o]),
                    4.. => multiply_tile::<V, 4, NR>(v, u, m, &segment, [c, o]),
                    2.. => multiply_tile::<V, 2, NR>(v, u, m, &segment, [c, o]),
                    _ => multiply_tile::<V, 1, NR>(v, u, m, &segment, [c, o]),
                };
            }
        }
    }
}

/// Computes `MR` rows and returns `MR`.
#[inline(always)]
unsafe fn multiply_tile<V: Vector, const MR: usize, const NR: usize>(
    v: *const f32,
    u: *const f32,
    m: *mut f32,
    segment: &[Segment],
    [c, o]: [usize; 2],
) -> usize {
    // SAFETY: the contract of `multiply`.
    unsafe {
        let acc = dot::<V, MR, NR>(v, c, u, segment);
        for (i, row) in acc.into_iter().enumerate() {
            for (j, value) in row.into_iter().enumerate() {
                value.store(m.add(i * o + j * V::LANES));
            }
        }
    }
    MR
}
