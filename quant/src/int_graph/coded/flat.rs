//! A node of the integer-only network as a row of fields.

use engine::Result;

use super::{broken, narrow};
use crate::IntTensor;
use crate::int_graph::{IntNode, Op};
use crate::requantize::Requantize;

/// A node with every field that any kind of node has.
#[derive(Default)]
pub(super) struct Flat {
    pub(super) kind: u64,
    pub(super) name: String,
    pub(super) x: u64,
    pub(super) residual: Option<u64>,
    pub(super) dims: Vec<u64>,
    pub(super) bits: u64,
    /// Stride and padding, or stride and first channel.
    pub(super) step: [u64; 2],
    pub(super) outputs: Vec<(u64, Requantize)>,
    pub(super) table: Vec<[u8; 256]>,
    pub(super) b_int: Vec<i64>,
    pub(super) scale: Vec<f32>,
    pub(super) w_int: Vec<i8>,
}

impl Flat {
    /// Of a node of the network.
    pub(super) fn of(node: &IntNode) -> Self {
        let mut flat = Self { name: node.name.clone(), ..Self::default() };
        let blank = |y: usize| {
            let q = Requantize {
                left: 0,
                shift: 0,
                multiplier: vec![],
                bias: vec![],
                residual: None,
                lo: 0,
                hi: 0,
            };
            vec![(y as u64, q)]
        };
        let outputs = |all: &[(usize, Requantize)]| all.iter().map(|(y, q)| (*y as u64, q.clone())).collect();
        if let Some((w, bits)) = node.op.weights() {
            (flat.w_int, flat.bits) = (w.data().to_vec(), bits.into());
            flat.dims = w.dims().iter().map(|&d| d as u64).collect();
        }
        match &node.op {
            Op::Lookup { y, table } => (flat.outputs, flat.table) = (blank(*y), table.clone()),
            Op::Conv2d { x, stride, padding, residual, outputs: y, .. } => {
                (flat.kind, flat.x, flat.residual) = (1, *x as u64, residual.map(|r| r as u64));
                (flat.step, flat.outputs) = ([*stride as u64, *padding as u64], outputs(y));
            }
            Op::SubsamplePad { x, y, stride, lo } => {
                (flat.kind, flat.x, flat.outputs) = (2, *x as u64, blank(*y));
                flat.step = [*stride as u64, *lo as u64];
            }
            Op::GlobalAvgPool { x, outputs: y } => {
                (flat.kind, flat.x, flat.outputs) = (3, *x as u64, outputs(y))
            }
            Op::Linear { x, b_int, logit_scale, .. } => {
                (flat.kind, flat.x) = (4, *x as u64);
                (flat.b_int, flat.scale) = (b_int.iter().map(|&b| b.into()).collect(), logit_scale.clone());
            }
        }
        flat
    }

    /// The node of the network.
    pub(super) fn node(self) -> Result<IntNode> {
        let (x, w_bits) = (self.x as usize, self.bits as u32);
        let dims: Vec<usize> = self.dims.iter().map(|&d| d as usize).collect();
        let [stride, other] = self.step.map(|s| s as usize);
        let first = self.outputs.first().map(|(y, _)| *y as usize);
        let y = || first.ok_or_else(|| broken("a node without an output"));
        let w = || IntTensor::from_vec(&dims[..], self.w_int.clone());
        let outputs = |all: Vec<(u64, Requantize)>| all.into_iter().map(|(y, q)| (y as usize, q)).collect();
        let residual = self.residual.map(|r| r as usize);
        let op = match self.kind {
            0 => Op::Lookup { y: y()?, table: self.table },
            1 => {
                let (w, outputs) = (w()?, outputs(self.outputs));
                Op::Conv2d { x, w, w_bits, stride, padding: other, residual, outputs }
            }
            2 => Op::SubsamplePad { x, y: y()?, stride, lo: other },
            3 => Op::GlobalAvgPool { x, outputs: outputs(self.outputs) },
            4 => Op::Linear { x, w: w()?, w_bits, b_int: narrow(&self.b_int)?, logit_scale: self.scale },
            kind => return Err(broken(format!("a node of kind {kind}"))),
        };
        Ok(IntNode { name: self.name, op })
    }
}
