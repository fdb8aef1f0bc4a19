//! The micro-kernel in plain Rust: what the others must equal, and what runs where they cannot.
#![allow(unsafe_code)]

use super::lanes::ScalarLanes;
use super::micro::{Field, Micro, RegisterTile};
use super::sweep::Rows;
use super::{K_GROUP, NR, Tile};

micro_kernel! {
    name: scalar,
    isa: "scalar",
    available: true,
    max_weight: 128,
    tiles: Scalar,
}

pub(super) struct Scalar;

impl Micro for Scalar {
    type Lanes = ScalarLanes;
    type Wide = Self;
    type Narrow = Self;
}

impl RegisterTile for Scalar {
    const MR: usize = 4;
    const PANELS: usize = 1;

    #[inline(always)]
    unsafe fn run(field: &Field, x: &Rows<'_>, tiles: &mut [Tile; 2], row: usize) {
        // book: tile
        let mut acc = [[0i32; NR]; 4];
        for segment in 0..field.segments {
            let x: [*const u8; 4] = x.at(segment * field.stride);
            for group in 0..field.groups {
                // SAFETY: the panel has `segments * groups` lines.
                let line = unsafe { &*field.w.add(segment * field.groups + group) }.quads();
                for m in 0..4 {
                    // SAFETY: the run has `groups * 4` codes.
                    let x = unsafe { x[m].add(group * K_GROUP).cast::<[u8; 4]>().read() };
                    for n in 0..NR {
                        for k in 0..K_GROUP {
                            acc[m][n] += i32::from(x[k]) * i32::from(line[n][k]);
                        }
                    }
                }
            }
        }
        tiles[0][row..row + 4].copy_from_slice(&acc);
        // book end
    }
}
