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
//! Plain: [`ops::conv2d_ref`](crate::ops::conv2d_ref) and [`ops::conv2d_backward_ref`](crate::ops::conv2d_backward_ref);
//! `fast/conv2d/tests.rs` holds it to them.
//!
//! Price: the transforms amplify rounding. Against `f64`, errors are a few times those of the direct sum (the tests
//! state the bound), and a number beyond 2e37 or one that is none spoils the whole tile.

mod filters;
mod grad;
mod image;

pub(crate) use filters::Filters;
pub(crate) use grad::{FilterGrad, WinogradGrad};
pub(crate) use image::WinogradConv;

use std::ops::Range;

use super::Vector;

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

/// Tiles of an image `[h, w]`.
pub(crate) fn tiles(h: usize, w: usize) -> usize {
    (h / TILE) * (w / TILE)
}

/// Floats from one point's matrix `[tiles, channels]` to the next one's: a cache line more than it holds, because
/// powers of two would put all 36 into the same few sets of the cache.
fn point_stride(tiles: usize, channels: usize) -> usize {
    tiles * channels + 16
}

/// Some images of the same size, one behind the other in memory; what lies around an image is not read.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// Offset of pixel (0, 0) of the first image.
    pub start: usize,
    /// Floats from a row to the next.
    pub row: usize,
    /// Floats from an image to the next.
    pub image: usize,
}

impl Layout {
    /// Images without borders.
    pub(crate) fn dense([h, w]: [usize; 2], channels: usize) -> Self {
        Self { start: 0, row: w * channels, image: h * w * channels }
    }

    /// Floats that `n` images of `h` rows of `width` floats need.
    fn len(&self, n: usize, h: usize, width: usize) -> usize {
        self.start + (n - 1) * self.image + (h - 1) * self.row + width
    }
}

/// A tile of some images: which one, and its row and column in units of [`TILE`].
#[derive(Clone, Copy)]
struct Place {
    image: usize,
    ty: usize,
    tx: usize,
}

impl Place {
    /// Tile `t` of images `[h, w]`, counted through all of them.
    #[inline(always)]
    fn of(t: usize, [h, w]: [usize; 2]) -> Self {
        let (rows, cols) = (h / TILE, w / TILE);
        Self { image: t / (rows * cols), ty: t / cols % rows, tx: t % cols }
    }

    /// Offset of its first pixel.
    #[inline(always)]
    fn offset(&self, layout: &Layout, channels: usize) -> usize {
        layout.start + self.image * layout.image + TILE * (self.ty * layout.row + self.tx * channels)
    }
}

/// `v[point, t - tiles.start, c]` of some tiles `t` of images `[h, w, c]`, which count as zero outside.
///
/// # Safety
/// The tiles lie in images that `layout` describes behind `x`; `v` is as long as `POINTS` times `stride`, which is
/// at least `tiles.len() * c`; `c` is a multiple of the lanes.
#[inline(always)]
unsafe fn transform_input<V: Vector>(
    x: *const f32,
    layout: &Layout,
    [h, w, c]: [usize; 3],
    tiles: Range<usize>,
    v: *mut f32,
    stride: usize,
) {
    // SAFETY: the caller's contract; the four flags keep the loads in the image.
    unsafe {
        for (slot, t) in tiles.enumerate() {
            let place = Place::of(t, [h, w]);
            let (top, bottom) = (place.ty == 0, TILE * (place.ty + 1) == h);
            let (left, right) = (place.tx == 0, TILE * (place.tx + 1) == w);
            // The patch begins one pixel above and left of its tile.
            let corner = x.wrapping_add(place.offset(layout, c)).wrapping_sub(layout.row + c);
            for c0 in (0..c).step_by(V::LANES) {
                let mut half = [[V::zero(); PATCH]; PATCH]; // [column][row]
                for (j, half) in half.iter_mut().enumerate() {
                    if (j == 0 && left) || (j == PATCH - 1 && right) {
                        continue;
                    }
                    let pixel = corner.wrapping_add(j * c + c0);
                    let at = |i: usize| V::load(pixel.wrapping_add(i * layout.row));
                    let first = if top { V::zero() } else { at(0) };
                    let last = if bottom { V::zero() } else { at(5) };
                    *half = input_column([first, at(1), at(2), at(3), at(4), last]);
                }
                for i in 0..PATCH {
                    let row = input_column([
                        half[0][i], half[1][i], half[2][i], half[3][i], half[4][i], half[5][i],
                    ]);
                    for (j, value) in row.into_iter().enumerate() {
                        value.store(v.add((i * PATCH + j) * stride + slot * c + c0));
                    }
                }
            }
        }
    }
}
