//! What can be known of a node before there is an image: packed weights, and the zero point's share of every sum.

use engine::Result;

use super::super::{IntGraph, Op, Value, ValueId};
use crate::kernel;
use crate::kernel::requantize::PackedRequantize;
use crate::{IntTensor, PackedWeights};

/// A node with everything about it that can be known beforehand.
pub(super) enum Step {
    Lookup { y: ValueId },
    Conv2d { x: ValueId, w: PackedWeights, kernel: [usize; 2], stride: usize, padding: usize, finish: Finish },
    SubsamplePad { x: ValueId, y: ValueId, stride: usize, lo: usize },
    GlobalAvgPool { x: ValueId, outputs: Vec<ValueId> },
    Linear { x: ValueId, w: PackedWeights, offset: Vec<i32> },
}

/// What becomes of a convolution's sums.
pub(super) struct Finish {
    pub(super) residual: Option<ValueId>,
    pub(super) outputs: Vec<(ValueId, PackedRequantize)>,
}

/// Packs a node.
pub(super) fn step(graph: &IntGraph, op: &Op, isa: &str) -> Result<Step> {
    let pack = |w: &IntTensor<i8>| {
        let most = w.data().iter().map(|w| i32::from(*w).abs()).max().unwrap_or(0);
        PackedWeights::pack_for(kernel::of_isa(isa, most), w.clone())
    };
    Ok(match op {
        Op::Lookup { y, .. } => Step::Lookup { y: *y },
        Op::Conv2d { x, w, stride, padding, residual, outputs, .. } => {
            let offset = zero_point_sums(&graph.values()[*x], w);
            let outputs = outputs.iter().map(|(y, q)| (*y, PackedRequantize::new(q, &offset))).collect();
            let finish = Finish { residual: *residual, outputs };
            let kernel = [w.dims()[1], w.dims()[2]];
            Step::Conv2d { x: *x, w: pack(w)?, kernel, stride: *stride, padding: *padding, finish }
        }
        Op::SubsamplePad { x, y, stride, lo } => {
            Step::SubsamplePad { x: *x, y: *y, stride: *stride, lo: *lo }
        }
        Op::GlobalAvgPool { x, .. } => Step::GlobalAvgPool { x: *x, outputs: op.outputs() },
        Op::Linear { x, w, b_int, .. } => {
            let sums = zero_point_sums(&graph.values()[*x], w);
            // Modulo 2^32, like the sums: only the logit itself is known to fit.
            let offset = sums.iter().zip(b_int).map(|(s, b)| (s + i64::from(*b)) as i32).collect();
            Step::Linear { x: *x, w: pack(w)?, offset }
        }
    })
}

/// `z_x sum w` of each output channel: what the zero point adds to every sum.
fn zero_point_sums(x: &Value, w: &IntTensor<i8>) -> Vec<i64> {
    let row = w.len() / w.dims()[0];
    let sum = |w: &[i8]| w.iter().map(|w| i64::from(*w)).sum::<i64>() * i64::from(x.zero_point);
    w.data().chunks(row).map(sum).collect()
}
