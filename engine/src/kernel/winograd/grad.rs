//! Gradient of the filters: `dg = G^T [ sum over tiles of (B^T d B) x (A dY A^T) ] G`.

use std::ops::Range;

use super::{G, Layout, PATCH, POINTS, Place, TILE, gradient_column, point_stride, tiles, transform_input};
use crate::kernel::tile::outer;
use crate::kernel::{Kernel, Vector};

/// Of some images: `p[point, c, o] = sum over tiles of v[point, t, c] * z[point, t, o]`,
/// `z = A dY A^T`; `filter_gradient_column` turns `p` into the gradient of the filters.
pub(crate) struct WinogradGrad<'a> {
    /// `[images, H, W, C]`.
    pub x: &'a [f32],
    /// `[images, H, W, O]`.
    pub dy: &'a [f32],
    /// Images, H, W.
    pub dims: [usize; 3],
    /// C, O.
    pub channels: [usize; 2],
    /// Result: `[POINTS, C, O]`.
    pub p: &'a mut [f32],
    /// Whether to add to what `p` holds.
    pub add: bool,
    /// At least [`WinogradGrad::scratch_len`] floats.
    pub scratch: &'a mut [f32],
}

/// Tiles whose sums are taken at once: with fewer, the time would go into loading and storing the sums; with more,
/// `v` and `z` would leave the second-level cache.
fn block(c: usize) -> usize {
    (c / 2).clamp(16, 32)
}

impl WinogradGrad<'_> {
    /// Floats of scratch.
    pub(crate) fn scratch_len([c, o]: [usize; 2]) -> usize {
        POINTS * (point_stride(block(c), c) + point_stride(block(c), o))
    }
}

impl Kernel for WinogradGrad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let ([n, h, w], [c, o]) = (self.dims, self.channels);
        let (total, block) = (n * tiles(h, w), block(c));
        assert!(n > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(V::LANES) && o.is_multiple_of(V::LANES));
        assert!(self.x.len() >= n * h * w * c && self.dy.len() >= n * h * w * o);
        assert!(self.p.len() >= POINTS * c * o);
        assert!(self.scratch.len() >= Self::scratch_len([c, o]));
        let (v_stride, z_stride) = (point_stride(block, c), point_stride(block, o));
        let (x_layout, dy_layout) = (Layout::dense([h, w], c), Layout::dense([h, w], o));
        let (v, z) = self.scratch.split_at_mut(POINTS * v_stride);
        for start in (0..total).step_by(block) {
            let tiles = start..total.min(start + block);
            let (count, add) = (tiles.len(), self.add || start > 0);
            // SAFETY: the assertions above; the caller vouches for the instructions.
            unsafe {
                let (v, z) = (v.as_mut_ptr(), z.as_mut_ptr());
                transform_input::<V>(self.x.as_ptr(), &x_layout, [h, w, c], tiles.clone(), v, v_stride);
                transform_gradient::<V>(self.dy.as_ptr(), &dy_layout, [h, w, o], tiles, z, z_stride);
                for point in 0..POINTS {
                    let (v, z) = (v.add(point * v_stride), z.add(point * z_stride));
                    let p = self.p.as_mut_ptr().add(point * c * o);
                    if (o / V::LANES).is_multiple_of(2) {
                        accumulate::<V, 2>(v, z, p, [count, c, o], add);
                    } else {
                        accumulate::<V, 1>(v, z, p, [count, c, o], add);
                    }
                }
            }
        }
    }
}

/// `z[point, t - tiles.start, o]` of some tiles `t` of images `[h, w, o]`.
///
/// # Safety
/// As for [`transform_input`].
#[inline(always)]
unsafe fn transform_gradient<V: Vector>(
    dy: *const f32,
    layout: &Layout,
    [h, w, o]: [usize; 3],
    tiles: Range<usize>,
    z: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for (slot, t) in tiles.enumerate() {
            let first = dy.add(Place::of(t, [h, w]).offset(layout, o));
            for o0 in (0..o).step_by(V::LANES) {
                let mut half = [[V::zero(); PATCH]; TILE]; // [column][row]
                for (j, half) in half.iter_mut().enumerate() {
                    let mut column = [V::zero(); TILE];
                    for (i, value) in column.iter_mut().enumerate() {
                        *value = V::load(first.add(i * layout.row + j * o + o0));
                    }
                    *half = gradient_column(column);
                }
                for i in 0..PATCH {
                    let row = gradient_column([half[0][i], half[1][i], half[2][i], half[3][i]]);
                    for (j, value) in row.into_iter().enumerate() {
                        value.store(z.add((i * PATCH + j) * stride + slot * o + o0));
                    }
                }
            }
        }
    }
}

/// `p[c, o] = sum over t of v[t, c] z[t, o]`, plus what `p` holds if `add`.
///
/// # Safety
/// `v [count, c]`, `z [count, o]`, `p [c, o]` are there; `o` is a multiple of `NR` vectors.
#[inline(always)]
unsafe fn accumulate<V: Vector, const NR: usize>(
    v: *const f32,
    z: *const f32,
    p: *mut f32,
    [count, c, o]: [usize; 3],
    add: bool,
) {
    // SAFETY: the caller's contract. `c` is a multiple of the lanes, so of 4, so tiles of 16, 8 or 4 rows fill it.
    unsafe {
        for o0 in (0..o).step_by(NR * V::LANES) {
            let mut c0 = 0;
            while c0 < c {
                let (v, z, p) = (v.add(c0), z.add(o0), p.add(c0 * o + o0));
                c0 += match (V::REGISTERS / 2 / NR).min(c - c0) {
                    16.. => accumulate_tile::<V, 16, NR>(v, z, p, [count, c, o], add),
                    8.. => accumulate_tile::<V, 8, NR>(v, z, p, [count, c, o], add),
                    _ => accumulate_tile::<V, 4, NR>(v, z, p, [count, c, o], add),
                };
            }
        }
    }
}

/// Computes `MR` rows and returns `MR`.
#[inline(always)]
unsafe fn accumulate_tile<V: Vector, const MR: usize, const NR: usize>(
    v: *const f32,
    z: *const f32,
    p: *mut f32,
    [count, c, o]: [usize; 3],
    add: bool,
) -> usize {
    // SAFETY: the contract of `accumulate`.
    unsafe {
        let mut acc = [[V::zero(); NR]; MR];
        if add {
            for (i, row) in acc.iter_mut().enumerate() {
                for (j, value) in row.iter_mut().enumerate() {
                    *value = V::load(p.add(i * o + j * V::LANES));
                }
            }
        }
        outer(&mut acc, v, c, z, o, count);
        for (i, row) in acc.into_iter().enumerate() {
            for (j, value) in row.into_iter().enumerate() {
                value.store(p.add(i * o + j * V::LANES));
            }
        }
    }
    MR
}

/// `dw = G^T p G`: from `p [POINTS, C, O]` to `dw [3, 3, C, O]`.
pub(crate) struct FilterGrad<'a> {
    /// Sums over tiles.
    pub p: &'a [f32],
    /// Gradient of the filters.
    pub dw: &'a mut [f32],
}

impl Kernel for FilterGrad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let plane = self.p.len() / POINTS;
        assert!(plane.is_multiple_of(V::LANES) && self.dw.len() == 9 * plane);
        // SAFETY: the assertion: all vectors lie inside a plane; the caller vouches for the instructions.
        unsafe {
            for at in (0..plane).step_by(V::LANES) {
                let (p, dw) = (self.p.as_ptr().add(at), self.dw.as_mut_ptr().add(at));
                let mut half = [[V::zero(); PATCH]; 3]; // [kw][i] = sum over j of p[i][j] G[j][kw]
                for i in 0..PATCH {
                    let mut row = [V::zero(); PATCH];
                    for (j, value) in row.iter_mut().enumerate() {
                        *value = V::load(p.add((i * PATCH + j) * plane));
                    }
                    let row = filter_gradient_column(row);
                    for kw in 0..3 {
                        half[kw][i] = row[kw];
                    }
                }
                for kw in 0..3 {
                    for (kh, sum) in filter_gradient_column(half[kw]).into_iter().enumerate() {
                        sum.store(dw.add((kh * 3 + kw) * plane));
                    }
                }
            }
        }
    }
}

/// `G^T p` for a column of six values.
#[inline(always)]
unsafe fn filter_gradient_column<V: Vector>(p: [V; PATCH]) -> [V; 3] {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let mut sums = [V::zero(); 3];
        for (tap, sum) in sums.iter_mut().enumerate() {
            for (p, row) in p.iter().zip(&G) {
                *sum = sum.fma(*p, V::splat(row[tap]));
            }
        }
        sums
    }
}
