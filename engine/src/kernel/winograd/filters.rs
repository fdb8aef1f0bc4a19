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
