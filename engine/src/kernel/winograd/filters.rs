//! `u = G g G^T`: the filters, transformed and packed into panels.

use super::{G, PATCH, POINTS};
use crate::arena::Floats;
use crate::kernel::conv::panel_vectors;
use crate::kernel::{Isa, Kernel, Vector};

/// Transformed filters `u = G g G^T` of a layer with `c` inputs and `o` outputs, one panel set per point:
/// `[POINTS][O / width][C][width]`.
pub(crate) struct Filters {
    pub(super) data: Floats,
    pub(super) c: usize,
    pub(super) o: usize,
    pub(super) nr: usize,
}

impl Filters {
    /// Transforms the filters `w [outer, 3, 3, inner]`. Forward: `inner` is the input. With `flip` the roles are
    /// exchanged and the taps reversed, as the gradient of the input wants them.
    pub(crate) fn new(isa: Isa, w: &[f32], [outer, inner]: [usize; 2], flip: bool) -> Self {
        let (c, o) = if flip { (outer, inner) } else { (inner, outer) };
        let nr = panel_vectors(isa, o);
        let mut filters = Self { data: Floats::take(POINTS * c * o), c, o, nr };
        let mut taps = Floats::take(9 * c * o); // [tap][c][o]
        for (at, filter) in w.chunks_exact(inner).enumerate() {
            let (outer, tap) = (at / 9, at % 9);
            if flip {
                taps[((8 - tap) * c + outer) * o..][..o].copy_from_slice(filter);
            } else {
                for (plane, w) in taps[tap * c * o..][..c * o].chunks_exact_mut(o).zip(filter) {
                    plane[outer] = *w;
                }
            }
        }
        isa.run(Transform { taps: &taps, dims: [c, o], width: nr * isa.lanes(), u: &mut filters.data });
        filters
    }
}

/// `u = G g G^T` of all filters, a vector of output channels at a time.
struct Transform<'a> {
    /// `[3][3][C][O]`.
    taps: &'a [f32],
    /// C, O.
    dims: [usize; 2],
    /// Of a panel.
    width: usize,
    u: &'a mut [f32],
}

impl Kernel for Transform<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<V: Vector>(self) {
        let ([c, o], width) = (self.dims, self.width);
        let plane = c * o;
        assert!(self.taps.len() == 9 * plane && self.u.len() == POINTS * plane);
        assert!(width.is_multiple_of(V::LANES) && o.is_multiple_of(width));
        for (c0, o0) in (0..c).flat_map(|c| (0..o).step_by(V::LANES).map(move |o| (c, o))) {
            // SAFETY: the assertions: the vectors lie inside their planes; the caller vouches for the instructions.
            unsafe {
                let taps = self.taps.as_ptr().add(c0 * o + o0);
                let mut half = [[V::zero(); 3]; PATCH]; // [i][kw] = sum over kh of G[i][kh] g[kh][kw]
                for kw in 0..3 {
                    let mut column = [V::zero(); 3];
                    for (kh, value) in column.iter_mut().enumerate() {
                        *value = V::load(taps.add((kh * 3 + kw) * plane));
                    }
                    let column = filter_column(column);
                    for i in 0..PATCH {
                        half[i][kw] = column[i];
                    }
                }
                let u = self.u.as_mut_ptr().add((o0 / width * c + c0) * width + o0 % width);
                for i in 0..PATCH {
                    for (j, value) in filter_column(half[i]).into_iter().enumerate() {
                        value.store(u.add((i * PATCH + j) * plane));
                    }
                }
            }
        }
    }
}

/// `G g` for a column of three taps.
#[inline(always)]
unsafe fn filter_column<V: Vector>(g: [V; 3]) -> [V; PATCH] {
    // SAFETY: the caller vouches for the instructions.
    unsafe {
        let mut sums = [V::zero(); PATCH];
        for (sum, row) in sums.iter_mut().zip(&G) {
            for (g, factor) in g.iter().zip(row) {
                *sum = sum.fma(*g, V::splat(*factor));
            }
        }
        sums
    }
}
