//! Forward: transform the patches, 36 matrix products, transform back with the epilogue.

use super::{Filters, PATCH, POINTS, TILE, output_column, point_stride, tiles, transform_input};
use crate::kernel::conv::{Epilogue, MAX_NR};
use crate::kernel::tile::{Segment, dot};
use crate::kernel::{Kernel, Vector};

/// One image: `y = conv(x, w)` with stride 1 and padding 1.
pub(crate) struct WinogradImage<'a> {
    /// The image; what lies around it is not read and counts as zero.
    pub x: &'a [f32],
    /// Offset in `x` of pixel (0, 0), and floats of a row.
    pub x_start: usize,
    /// See `x_start`.
    pub x_row: usize,
    /// Transformed filters.
    pub filters: &'a Filters,
    /// Height and width of the output, multiples of [`TILE`].
    pub dims: [usize; 2],
    /// Result, offset of its first pixel, floats of a row.
    pub y: &'a mut [f32],
    /// See `y`.
    pub y_start: usize,
    /// See `y`.
    pub y_row: usize,
    /// What is done to the results.
    pub epilogue: Epilogue<'a>,
    /// At least [`WinogradImage::scratch_len`] floats.
    pub scratch: &'a mut [f32],
}

impl WinogradImage<'_> {
    /// Floats of scratch for transformed patches and products.
    pub(crate) fn scratch_len(filters: &Filters, [h, w]: [usize; 2]) -> usize {
        POINTS * (point_stride(tiles(h, w), filters.c) + point_stride(tiles(h, w), filters.o))
    }

    /// The bounds that make the unchecked indexing sound.
    fn check(&self, lanes: usize) {
        let (&Filters { c, o, .. }, [h, w]) = (self.filters, self.dims);
        assert!(h > 0 && w > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(lanes) && o.is_multiple_of(self.filters.nr * lanes));
        assert!(self.x_start + (h - 1) * self.x_row + w * c <= self.x.len(), "x is too short");
        assert!(self.y_start + (h - 1) * self.y_row + w * o <= self.y.len(), "y is too short");
        assert!(self.scratch.len() >= Self::scratch_len(self.filters, self.dims), "scratch is too short");
        assert!(self.epilogue.bias.is_none_or(|b| b.len() == o), "one bias per channel");
        assert!(self.epilogue.residual.is_none_or(|r| r.len() == self.y.len()), "the residual is like y");
    }
}

impl Kernel for WinogradImage<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        self.check(V::LANES);
        let (&Filters { c, o, nr, .. }, [h, w]) = (self.filters, self.dims);
        let count = tiles(h, w);
        let (v_stride, m_stride) = (point_stride(count, c), point_stride(count, o));
        let (v, m) = self.scratch.split_at_mut(POINTS * v_stride);
        // SAFETY: `check` bounded the image, the result and the scratch; the caller vouches for the instructions.
        unsafe {
            let x = self.x.as_ptr().add(self.x_start);
            transform_input::<V>(x, self.x_row, [h, w, c], v.as_mut_ptr(), v_stride);
            for point in 0..POINTS {
                let v = v.as_ptr().add(point * v_stride);
                let u = self.filters.data.as_ptr().add(point * c * o);
                let m = m.as_mut_ptr().add(point * m_stride);
                match nr {
                    1 => multiply::<V, 1>(v, u, m, [count, c, o]),
                    2 => multiply::<V, 2>(v, u, m, [count, c, o]),
                    _ => multiply::<V, MAX_NR>(v, u, m, [count, c, o]),
                }
            }
            let Epilogue { bias, residual, relu } = self.epilogue;
            for (t, (ty, tx)) in
                (0..h / TILE).flat_map(|ty| (0..w / TILE).map(move |tx| (ty, tx))).enumerate()
            {
                for o0 in (0..o).step_by(V::LANES) {
                    let mut half = [[V::zero(); TILE]; PATCH]; // [column][row]
                    for (j, half) in half.iter_mut().enumerate() {
                        let mut column = [V::zero(); PATCH];
                        for (i, value) in column.iter_mut().enumerate() {
                            *value = V::load(m.as_ptr().add((i * PATCH + j) * m_stride + t * o + o0));
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
                            let at = self.y_start + (TILE * ty + i) * self.y_row + (TILE * tx + j) * o + o0;
                            let mut value = value.add(bias);
                            if let Some(r) = residual {
                                value = value.add(V::load(r.as_ptr().add(at)));
                            }
                            if relu {
                                value = value.max(V::zero());
                            }
                            value.store(self.y.as_mut_ptr().add(at));
                        }
                    }
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
