//! Gradient of the filters: `dg = G^T [ sum over tiles of (B^T d B) x (A dY A^T) ] G`.

use super::{G, PATCH, POINTS, TILE, gradient_column, point_stride, tiles, transform_input};
use crate::kernel::tile::outer;
use crate::kernel::{Kernel, Vector};

/// Contribution of some images to `p[point, c, o] = sum over tiles of v[point, t, c] * z[point, t, o]`,
/// `z = A dY A^T`; [`filter_grad`] turns `p` into the gradient of the filters.
pub(crate) struct WinogradGrad<'a> {
    /// `[images, H, W, C]`.
    pub x: &'a [f32],
    /// `[images, H, W, O]`.
    pub dy: &'a [f32],
    /// Images, H, W.
    pub dims: [usize; 3],
    /// C, O.
    pub channels: [usize; 2],
    /// Added to: `[POINTS, C, O]`.
    pub p: &'a mut [f32],
    /// At least [`WinogradGrad::scratch_len`] floats.
    pub scratch: &'a mut [f32],
}

impl WinogradGrad<'_> {
    /// Floats of scratch for `images` images.
    pub(crate) fn scratch_len(images: usize, [h, w]: [usize; 2], [c, o]: [usize; 2]) -> usize {
        let count = images * tiles(h, w);
        POINTS * (point_stride(count, c) + point_stride(count, o))
    }
}

impl Kernel for WinogradGrad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let ([n, h, w], [c, o]) = (self.dims, self.channels);
        let count = n * tiles(h, w);
        assert!(n > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(V::LANES) && o.is_multiple_of(V::LANES));
        assert!(self.x.len() >= n * h * w * c && self.dy.len() >= n * h * w * o);
        assert!(self.p.len() >= POINTS * c * o);
        assert!(self.scratch.len() >= Self::scratch_len(n, [h, w], [c, o]));
        let (v_stride, z_stride) = (point_stride(count, c), point_stride(count, o));
        let (v, z) = self.scratch.split_at_mut(POINTS * v_stride);
        // SAFETY: the assertions above; the caller vouches for the instructions.
        unsafe {
            for image in 0..n {
                let first = image * tiles(h, w);
                let x = self.x.as_ptr().add(image * h * w * c);
                transform_input::<V>(x, w * c, [h, w, c], v.as_mut_ptr().add(first * c), v_stride);
                let dy = self.dy.as_ptr().add(image * h * w * o);
                transform_gradient::<V>(dy, [h, w, o], z.as_mut_ptr().add(first * o), z_stride);
            }
            for point in 0..POINTS {
                let v = v.as_ptr().add(point * v_stride);
                let z = z.as_ptr().add(point * z_stride);
                let p = self.p.as_mut_ptr().add(point * c * o);
                if (o / V::LANES).is_multiple_of(2) {
                    accumulate::<V, 2>(v, z, p, [count, c, o]);
                } else {
                    accumulate::<V, 1>(v, z, p, [count, c, o]);
                }
            }
        }
    }
}

/// `z[point, t, o]` of all tiles of `dy [h, w, o]`.
///
/// # Safety
/// As for [`transform_input`].
#[inline(always)]
unsafe fn transform_gradient<V: Vector>(dy: *const f32, [h, w, o]: [usize; 3], z: *mut f32, stride: usize) {
    // SAFETY: the caller's contract.
    unsafe {
        for (t, (ty, tx)) in (0..h / TILE).flat_map(|ty| (0..w / TILE).map(move |tx| (ty, tx))).enumerate() {
            for o0 in (0..o).step_by(V::LANES) {
                let tile = dy.add((TILE * ty * w + TILE * tx) * o + o0);
                let mut half = [[V::zero(); PATCH]; TILE]; // [column][row]
                for (j, half) in half.iter_mut().enumerate() {
                    let mut column = [V::zero(); TILE];
                    for (i, value) in column.iter_mut().enumerate() {
                        *value = V::load(tile.add((i * w + j) * o));
                    }
                    *half = gradient_column(column);
                }
                for i in 0..PATCH {
                    let row = gradient_column([half[0][i], half[1][i], half[2][i], half[3][i]]);
                    for (j, value) in row.into_iter().enumerate() {
                        value.store(z.add((i * PATCH + j) * stride + t * o + o0));
                    }
                }
            }
        }
    }
}

/// `p[c, o] += sum over t of v[t, c] z[t, o]`.
///
/// # Safety
/// `v [count, c]`, `z [count, o]`, `p [c, o]` are there; `o` is a multiple of `NR` vectors.
#[inline(always)]
unsafe fn accumulate<V: Vector, const NR: usize>(
    v: *const f32,
    z: *const f32,
    p: *mut f32,
    [count, c, o]: [usize; 3],
) {
    // SAFETY: the caller's contract. `c` is a multiple of the lanes, so of 4, so tiles of 16, 8 or 4 rows fill it.
    unsafe {
        for o0 in (0..o).step_by(NR * V::LANES) {
            let mut c0 = 0;
            while c0 < c {
                let (v, z, p) = (v.add(c0), z.add(o0), p.add(c0 * o + o0));
                c0 += match (V::REGISTERS / 2 / NR).min(c - c0) {
                    16.. => accumulate_tile::<V, 16, NR>(v, z, p, [count, c, o]),
                    8.. => accumulate_tile::<V, 8, NR>(v, z, p, [count, c, o]),
                    _ => accumulate_tile::<V, 4, NR>(v, z, p, [count, c, o]),
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
) -> usize {
    // SAFETY: the contract of `accumulate`.
    unsafe {
        let mut acc = [[V::zero(); NR]; MR];
        for (i, row) in acc.iter_mut().enumerate() {
            for (j, value) in row.iter_mut().enumerate() {
                *value = V::load(p.add(i * o + j * V::LANES));
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
        const L: usize = 16;
        let plane = self.p.len() / POINTS;
        assert!(plane.is_multiple_of(L) && self.dw.len() >= 9 * plane);
        for at in (0..plane).step_by(L) {
            // half[i][kw] = sum over j of p[i][j] G[j][kw]
            let mut half = [[[0.0f32; L]; 3]; PATCH];
            for i in 0..PATCH {
                for j in 0..PATCH {
                    let p = &self.p[(i * PATCH + j) * plane + at..][..L];
                    for kw in 0..3 {
                        for l in 0..L {
                            half[i][kw][l] += p[l] * G[j][kw];
                        }
                    }
                }
            }
            for kh in 0..3 {
                for kw in 0..3 {
                    let mut sum = [0.0f32; L];
                    for i in 0..PATCH {
                        for l in 0..L {
                            sum[l] += half[i][kw][l] * G[i][kh];
                        }
                    }
                    self.dw[(kh * 3 + kw) * plane + at..][..L].copy_from_slice(&sum);
                }
            }
        }
    }
}
