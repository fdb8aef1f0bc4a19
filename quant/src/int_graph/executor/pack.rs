//! What can be known of a node before there is an image: packed weights, eq 7 in the kernels' order, and the zero point's
//! share of every sum.

use engine::Result;

use super::super::{IntGraph, Op, Value, ValueId};
use crate::kernel;
use crate::kernel::requantize::{Output, PackedRequantize, Place};
use crate::{IntTensor, PackedWeights};

/// What a node has besides its [`Op`].
pub(super) enum Packed {
    /// Nothing.
    Plain,
    /// Of a convolution: what becomes of its sums.
    Conv2d { w: PackedWeights, outputs: Vec<Output> },
    /// Of the classifier: what is added to every sum.
    Linear { w: PackedWeights, offset: Vec<i32> },
}

impl Packed {
    /// Packs a node for the kernels of one instruction set; `place` says where values stand.
    pub(super) fn new(
        graph: &IntGraph,
        op: &Op,
        isa: &str,
        place: impl Fn(ValueId) -> Place,
    ) -> Result<Self> {
        let pack = |w: &IntTensor<i8>| {
            let most = w.data().iter().map(|w| i32::from(*w).abs()).max().unwrap_or(0);
            PackedWeights::pack_for(kernel::of_isa(isa, most), w.clone())
        };
        Ok(match op {
            Op::Conv2d { x, w, outputs, .. } => {
                let offset = zero_point_sums(&graph.values()[*x], w);
                let output = |(y, q)| Output { q: PackedRequantize::new(q, &offset), place: place(y) };
                Self::Conv2d { w: pack(w)?, outputs: outputs.iter().map(|(y, q)| output((*y, q))).collect() }
            }
            Op::Linear { x, w, b_int, .. } => {
                let sums = zero_point_sums(&graph.values()[*x], w);
                // Modulo 2^32, like the sums: only the logit itself is known to fit.
                let offset = sums.iter().zip(b_int).map(|(s, b)| (s + i64::from(*b)) as i32).collect();
                Self::Linear { w: pack(w)?, offset }
            }
            Op::Lookup { .. } | Op::SubsamplePad { .. } | Op::GlobalAvgPool { .. } => Self::Plain,
        })
    }
}

/// `z_x sum w` of each output channel: what the zero point adds to every sum.
fn zero_point_sums(x: &Value, w: &IntTensor<i8>) -> Vec<i64> {
    let row = w.len() / w.dims()[0];
    let sum = |w: &[i8]| w.iter().map(|w| i64::from(*w)).sum::<i64>() * i64::from(x.zero_point);
    w.data().chunks(row).map(sum).collect()
}
