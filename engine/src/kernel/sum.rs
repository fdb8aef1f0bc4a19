//! `a += b`, element by element, in parallel. Plain: the loop itself, in [`Sum`]; the same bits.

use rayon::prelude::*;

use super::{Isa, Plain};

/// Elements that one task handles: 256 KiB, a share of a second-level cache.
const PIECE: usize = 1 << 16;

/// `a += b`.
pub(crate) fn add_assign(a: &mut [f32], b: &[f32]) {
    let pieces = a.par_chunks_mut(PIECE).zip(b.par_chunks(PIECE));
    pieces.for_each(|(a, b)| Isa::active().run_plain(Sum { a, b }));
}

struct Sum<'a> {
    a: &'a mut [f32],
    b: &'a [f32],
}

impl Plain for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (a, &b) in self.a.iter_mut().zip(self.b) {
            *a += b;
        }
    }
}
