//! The micro-kernel in plain Rust: what the others must equal, and what runs where they cannot.

use super::{K_GROUP, MicroKernel, NR, Operands, Tile};

const MR: usize = 4;

/// The table's line.
pub const KERNEL: MicroKernel =
    MicroKernel { name: "scalar", mr: MR, nr: NR, k_group: K_GROUP, available: || true, run };

fn run(operands: &Operands<'_>, tile: &mut Tile) {
    let Operands { a, rows, segments, segment_stride, groups, panel } = *operands;
    let mut acc = [[0i32; NR]; MR];
    for segment in 0..segments {
        for group in 0..groups {
            let line = &panel[segment * groups + group].0;
            for m in 0..MR {
                let at = rows[m] + segment * segment_stride + group * K_GROUP;
                let x: [u8; K_GROUP] = a[at..at + K_GROUP].try_into().expect("four bytes");
                for n in 0..NR {
                    for k in 0..K_GROUP {
                        acc[m][n] += i32::from(x[k]) * i32::from(line[n][k]);
                    }
                }
            }
        }
    }
    tile[..MR].copy_from_slice(&acc);
}
