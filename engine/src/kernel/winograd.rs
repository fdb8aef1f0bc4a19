//! Winograd's convolution F(4x4, 3x3) (Lavin and Gray 2015, section 4.1): 4x4 outputs of a 3x3 filter from a 6x6
//! patch with 36 multiplications per channel pair instead of 144.
//!
//! ```text
//! Y = A^T [ (G g G^T) . (B^T d B) ] A        . is element by element, summed over input channels
//! ```
//!
//! With `v = B^T d B` for every tile and `u = G g G^T` for every filter, each of the 36 positions is one matrix
//! product `m[t, o] = sum over c of v[t, c] u[c, o]`, done by the same register tile as the direct convolution.
//! The gradients use the same transforms: `dx` is the convolution of `dy` with the flipped filters, and
//! `dg = G^T [ sum over tiles of (B^T d B) x (A dY A^T) ] G`.
//!
//! Price: the transforms amplify rounding. Against `f64`, errors are a few times those of the direct sum (the tests
//! state the bound).

use super::conv::{Epilogue, MAX_NR, panel_vectors};
use super::tile::{Segment, dot, outer};
use super::{Isa, Kernel, Vector};

/// Side of a patch; its square is the number of products.
pub(crate) const PATCH: usize = 6;
/// Positions in a patch.
pub(crate) const POINTS: usize = PATCH * PATCH;
/// Side of a tile of outputs.
pub(crate) const TILE: usize = 4;

/// `B^T x` for a column of six values.
#[inline(always)]
unsafe fn input_column<V: Vector>(d: [V; 6]) -> [V; 6] {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let c = |x: f32| V::splat(x);
        let (d0, d1, d2, d3, d4, d5) = (d[0], d[1], d[2], d[3], d[4], d[5]);
        let even = d4.fma(c(-4.0), d2); // d4 - 4 d2
        let odd = d3.fma(c(-4.0), d1); // d3 - 4 d1
        let even2 = d4.fma(c(-1.0), d2); // d4 - d2
        let odd2 = d3.fma(c(-1.0), d1); // d3 - d1
        [
            d4.fma(c(-5.0), d2).fma(c(4.0), d0),
            even.add(odd),
            even.fma(c(-1.0), odd),
            even2.fma(c(2.0), odd2),
            even2.fma(c(-2.0), odd2),
            d5.fma(c(-5.0), d3).fma(c(4.0), d1),
        ]
    }
}

/// `A^T m` for a column of six values.
#[inline(always)]
unsafe fn output_column<V: Vector>(m: [V; 6]) -> [V; 4] {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let c = |x: f32| V::splat(x);
        let (p, q) = (m[1].add(m[2]), m[1].fma(c(-1.0), m[2]));
        let (r, s) = (m[3].add(m[4]), m[3].fma(c(-1.0), m[4]));
        [m[0].add(p).add(r), q.fma(c(2.0), s), p.fma(c(4.0), r), q.fma(c(8.0), s).add(m[5])]
    }
}

/// `A y` for a column of four values: the transpose of [`output_column`].
#[inline(always)]
unsafe fn gradient_column<V: Vector>(y: [V; 4]) -> [V; 6] {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let c = |x: f32| V::splat(x);
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        let (even4, odd8) = (y[0].fma(c(4.0), y[2]), V::zero().fma(c(2.0), y[1]).fma(c(8.0), y[3]));
        [y[0], even.add(odd), even.fma(c(-1.0), odd), even4.add(odd8), even4.fma(c(-1.0), odd8), y[3]]
    }
}

/// Rows of `G`: from a 3-tap filter to six points.
const G: [[f32; 3]; 6] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Transformed filters `u = G g G^T` of a layer with `c` inputs and `o` outputs, one panel set per point:
/// `[POINTS][O / width][C][width]`.
pub(crate) struct Filters {
    data: Vec<f32>,
    c: usize,
    o: usize,
    nr: usize,
}

impl Filters {
    /// Transforms the filters `w [outer, 3, 3, inner]`. Forward: `inner` is the input. With `flip` the roles are
    /// exchanged and the taps reversed, as the gradient of the input wants them.
    pub(crate) fn new(isa: Isa, w: &[f32], [outer, inner]: [usize; 2], flip: bool) -> Self {
        let (c, o) = if flip { (outer, inner) } else { (inner, outer) };
        let nr = panel_vectors(isa, o);
        let mut filters = Self { data: vec![0.0; POINTS * c * o], c, o, nr };
        isa.run(Transform { w, outer, inner, flip, width: nr * isa.lanes(), u: &mut filters.data });
        filters
    }
}

/// The work of [`Filters::new`], 16 input channels of `w` at a time.
struct Transform<'a> {
    w: &'a [f32],
    outer: usize,
    inner: usize,
    flip: bool,
    width: usize,
    u: &'a mut [f32],
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        const L: usize = 16;
        let (inner, outer, width) = (self.inner, self.outer, self.width);
        let plane = inner * outer;
        for a in 0..outer {
            let filter = &self.w[a * 9 * inner..][..9 * inner];
            for b0 in (0..inner).step_by(L) {
                let n = L.min(inner - b0);
                // half[i][kw] = sum over kh of G[i][kh] g[kh][kw]
                let mut half = [[[0.0f32; L]; 3]; PATCH];
                for (i, row) in G.iter().enumerate() {
                    for (tap, factor) in row.iter().enumerate() {
                        for kw in 0..3 {
                            let at = if self.flip { (2 - tap) * 3 + 2 - kw } else { tap * 3 + kw };
                            let g = &filter[at * inner + b0..][..n];
                            for l in 0..n {
                                half[i][kw][l] += factor * g[l];
                            }
                        }
                    }
                }
                for i in 0..PATCH {
                    for j in 0..PATCH {
                        let mut u = [0.0f32; L];
                        for kw in 0..3 {
                            for l in 0..L {
                                u[l] += half[i][kw][l] * G[j][kw];
                            }
                        }
                        let point = &mut self.u[(i * PATCH + j) * plane..][..plane];
                        for l in 0..n {
                            // Input channel, output channel of the convolution this is for.
                            let (c, o, inputs) =
                                if self.flip { (a, b0 + l, outer) } else { (b0 + l, a, inner) };
                            point[(o / width * inputs + c) * width + o % width] = u[l];
                        }
                    }
                }
            }
        }
    }
}

/// Tiles of an image `[h, w]`.
pub(crate) fn tiles(h: usize, w: usize) -> usize {
    (h / TILE) * (w / TILE)
}

/// One image: `y = conv(x, w)` with stride 1 and padding 1.
pub(crate) struct WinogradImage<'a> {
    /// Padded image.
    pub x: &'a [f32],
    /// Offset in `x` of pixel (-1, -1), and floats of a row.
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
        POINTS * tiles(h, w) * (filters.c + filters.o)
    }

    /// The bounds that make the unchecked indexing sound.
    fn check(&self, lanes: usize) {
        let (&Filters { c, o, .. }, [h, w]) = (self.filters, self.dims);
        assert!(h > 0 && w > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(lanes) && o.is_multiple_of(self.filters.nr * lanes));
        assert!(self.x_start + (h + 1) * self.x_row + (w + 2) * c <= self.x.len(), "x is too short");
        assert!(self.y_start + (h - 1) * self.y_row + w * o <= self.y.len(), "y is too short");
        assert!(self.scratch.len() >= Self::scratch_len(self.filters, self.dims), "scratch is too short");
        assert!(self.epilogue.bias.is_none_or(|b| b.len() == o), "one bias per channel");
        assert!(self.epilogue.residual.is_none_or(|r| r.len() == self.y.len()), "the residual is like y");
    }
}

/// `v[point, t, c]` of all tiles `t` of a padded image.
///
/// # Safety
/// `x` reaches `h + 2` rows of `w + 2` pixels from `start`; `v` holds `stride_tiles` tiles per point.
#[inline(always)]
unsafe fn transform_input<V: Vector>(
    x: *const f32,
    x_row: usize,
    [h, w, c]: [usize; 3],
    v: *mut f32,
    stride_tiles: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for (t, (ty, tx)) in (0..h / TILE).flat_map(|ty| (0..w / TILE).map(move |tx| (ty, tx))).enumerate() {
            for c0 in (0..c).step_by(V::LANES) {
                let patch = x.add(TILE * ty * x_row + TILE * tx * c + c0);
                let mut half = [[V::zero(); PATCH]; PATCH]; // [column][row]
                for (j, half) in half.iter_mut().enumerate() {
                    let mut d = [V::zero(); PATCH];
                    for (i, d) in d.iter_mut().enumerate() {
                        *d = V::load(patch.add(i * x_row + j * c));
                    }
                    *half = input_column(d);
                }
                for i in 0..PATCH {
                    let row = input_column([
                        half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i],
                    ]);
                    for (j, value) in row.into_iter().enumerate() {
                        value.store(v.add(((i * PATCH + j) * stride_tiles + t) * c + c0));
                    }
                }
            }
        }
    }
}

impl Kernel for WinogradImage<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        self.check(V::LANES);
        let (&Filters { c, o, nr, .. }, [h, w]) = (self.filters, self.dims);
        let count = tiles(h, w);
        let (v, m) = self.scratch.split_at_mut(POINTS * count * c);
        // SAFETY: `check` bounded the image, the result and the scratch; the caller vouches for the instructions.
        unsafe {
            let x = self.x.as_ptr().add(self.x_start);
            transform_input::<V>(x, self.x_row, [h, w, c], v.as_mut_ptr(), count);
            for point in 0..POINTS {
                let v = v.as_ptr().add(point * count * c);
                let u = self.filters.data.as_ptr().add(point * c * o);
                let m = m.as_mut_ptr().add(point * count * o);
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
                            *value = V::load(m.as_ptr().add(((i * PATCH + j) * count + t) * o + o0));
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

/// Contribution of some images to `p[point, c, o] = sum over tiles of v[point, t, c] * z[point, t, o]`,
/// `z = A dY A^T`; [`filter_grad`] turns `p` into the gradient of the filters.
pub(crate) struct WinogradGrad<'a> {
    /// Padded images, one after the other.
    pub x: &'a [f32],
    /// Floats of a padded row and of a padded image.
    pub x_row: usize,
    /// See `x_row`.
    pub x_image: usize,
    /// `[images, H, W, O]`.
    pub dy: &'a [f32],
    /// Images, H, W.
    pub dims: [usize; 3],
    /// C, O.
    pub channels: [usize; 2],
    /// Added to: `[POINTS, C, O]`.
    pub p: &'a mut [f32],
    /// At least `POINTS * images * tiles * (C + O)` floats.
    pub scratch: &'a mut [f32],
}

impl Kernel for WinogradGrad<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let ([n, h, w], [c, o]) = (self.dims, self.channels);
        let count = n * tiles(h, w);
        assert!(n > 0 && h.is_multiple_of(TILE) && w.is_multiple_of(TILE));
        assert!(c.is_multiple_of(V::LANES) && o.is_multiple_of(V::LANES));
        assert!(self.x.len() >= n * self.x_image && self.x_image >= (h + 2) * self.x_row);
        assert!(
            self.x_row >= (w + 2) * c && self.dy.len() >= n * h * w * o && self.p.len() >= POINTS * c * o
        );
        assert!(self.scratch.len() >= POINTS * count * (c + o));
        let (v, z) = self.scratch.split_at_mut(POINTS * count * c);
        // SAFETY: the assertions above; the caller vouches for the instructions.
        unsafe {
            for image in 0..n {
                let first = image * tiles(h, w);
                let x = self.x.as_ptr().add(image * self.x_image);
                transform_input::<V>(x, self.x_row, [h, w, c], v.as_mut_ptr().add(first * c), count);
                let dy = self.dy.as_ptr().add(image * h * w * o);
                transform_gradient::<V>(dy, [h, w, o], z.as_mut_ptr().add(first * o), count);
            }
            for point in 0..POINTS {
                let v = v.as_ptr().add(point * count * c);
                let z = z.as_ptr().add(point * count * o);
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
unsafe fn transform_gradient<V: Vector>(
    dy: *const f32,
    [h, w, o]: [usize; 3],
    z: *mut f32,
    stride_tiles: usize,
) {
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
                        value.store(z.add(((i * PATCH + j) * stride_tiles + t) * o + o0));
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

/// `dg = G^T p G`: from `p [POINTS, C, O]`, adds to `dw [3, 3, C, O]`.
pub(crate) fn filter_grad(p: &[f32], plane: usize, dw: &mut [f32]) {
    for kh in 0..3 {
        for kw in 0..3 {
            let dw = &mut dw[(kh * 3 + kw) * plane..][..plane];
            for (point, p) in p.chunks_exact(plane).enumerate() {
                let factor = G[point / PATCH][kh] * G[point % PATCH][kw];
                if factor != 0.0 {
                    for (dw, p) in dw.iter_mut().zip(p) {
                        *dw += factor * p;
                    }
                }
            }
        }
    }
}
