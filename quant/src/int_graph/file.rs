//! The model file: an integer-only network in a safetensors file, weights packed at their real width.
//!
//! | tensor | type | shape | holds |
//! |---|---|---|---|
//! | `<node>.weight` | U8 | `[packed_len]` | `O KH KW C` weights, [bit-packed](super::bitpack) |
//! | `<node>.multiplier` | I32 | `[outputs, O]` | `m` of eq 7 |
//! | `<node>.bias` | I64 (classifier: I32) | `[outputs, O]` (`[O]`) | `b` of eq 7 (`b_int` of eq 6) |
//! | `<node>.scale` | F32 | `[O]` | the classifier's `s_x s_w` |
//! | `<node>.table` | U8 | `[C, 256]` | codes of the pixels |
//!
//! The metadata has one key, `integer_graph`: JSON with the version, the values, the nodes in order (shapes, shifts,
//! clips) and, under `about`, whatever a program wants to say of the network. Equal networks give equal files.
//!
//! Every number read is checked ([`IntGraph::new`]) before anything computes with it.

use std::collections::{BTreeMap, HashMap};

use engine::{Error, Result};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::bitpack::{pack, packed_len, unpack};
use super::{IntGraph, IntNode, Op, Value, ValueId};
use crate::IntTensor;
use crate::requantize::Requantize;

/// The key in the metadata that makes a safetensors file one of these.
pub const KEY: &str = "integer_graph";
const VERSION: u32 = 1;

/// What a program says of a network: its name, accuracy, origin.
pub type About = BTreeMap<String, String>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    values: Vec<Value>,
    nodes: Vec<NodeHeader>,
    about: About,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeHeader {
    name: String,
    op: OpHeader,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum OpHeader {
    Lookup {
        y: ValueId,
    },
    Conv2d {
        x: ValueId,
        w: [usize; 4],
        bits: u32,
        stride: usize,
        padding: usize,
        residual: Option<ValueId>,
        y: Vec<OutputHeader>,
    },
    SubsamplePad {
        x: ValueId,
        y: ValueId,
        stride: usize,
        lo: usize,
    },
    GlobalAvgPool {
        x: ValueId,
        y: Vec<OutputHeader>,
    },
    Linear {
        x: ValueId,
        w: [usize; 2],
        bits: u32,
    },
}

/// An output without its numbers per channel.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OutputHeader {
    value: ValueId,
    left: u32,
    shift: u32,
    residual: Option<(u32, i32)>,
    clip: [i32; 2],
}

impl IntGraph {
    /// The bytes of the model file.
    pub fn to_bytes(&self, about: &About) -> Vec<u8> {
        let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
        let mut nodes = Vec::new();
        for IntNode { name, op } in self.nodes() {
            let mut keep = |suffix: &str, dtype, dims: &[usize], bytes| {
                tensors.push((format!("{name}.{suffix}"), dtype, dims.to_vec(), bytes));
            };
            if let Some((w, bits)) = op.weights() {
                keep("weight", Dtype::U8, &[packed_len(w.len(), bits)], pack(w.data(), bits));
            }
            let mut outputs = |outputs: &[(ValueId, Requantize)]| {
                let dims = [outputs.len(), outputs[0].1.multiplier.len()];
                let m =
                    outputs.iter().flat_map(|(_, q)| &q.multiplier).flat_map(|m| m.to_le_bytes()).collect();
                let b = outputs.iter().flat_map(|(_, q)| &q.bias).flat_map(|b| b.to_le_bytes()).collect();
                keep("multiplier", Dtype::I32, &dims, m);
                keep("bias", Dtype::I64, &dims, b);
                outputs.iter().map(OutputHeader::new).collect()
            };
            let op = match op {
                Op::Lookup { y, table } => {
                    keep("table", Dtype::U8, &[table.len(), 256], table.concat());
                    OpHeader::Lookup { y: *y }
                }
                Op::Conv2d { x, w, w_bits, stride, padding, residual, outputs: y } => OpHeader::Conv2d {
                    x: *x,
                    w: w.dims().try_into().expect("checked: four dimensions"),
                    bits: *w_bits,
                    stride: *stride,
                    padding: *padding,
                    residual: *residual,
                    y: outputs(y),
                },
                &Op::SubsamplePad { x, y, stride, lo } => OpHeader::SubsamplePad { x, y, stride, lo },
                Op::GlobalAvgPool { x, outputs: y } => OpHeader::GlobalAvgPool { x: *x, y: outputs(y) },
                Op::Linear { x, w, w_bits, b_int, logit_scale } => {
                    keep(
                        "bias",
                        Dtype::I32,
                        &[b_int.len()],
                        b_int.iter().flat_map(|b| b.to_le_bytes()).collect(),
                    );
                    let scale = logit_scale.iter().flat_map(|s| s.to_le_bytes()).collect();
                    keep("scale", Dtype::F32, &[logit_scale.len()], scale);
                    OpHeader::Linear {
                        x: *x,
                        w: w.dims().try_into().expect("checked: two dimensions"),
                        bits: *w_bits,
                    }
                }
            };
            nodes.push(NodeHeader { name: name.clone(), op });
        }
        let header = Header { version: VERSION, values: self.values().to_vec(), nodes, about: about.clone() };
        let json = serde_json::to_string(&header).expect("numbers and names are JSON");
        let views = tensors.iter().map(|(name, dtype, dims, bytes)| {
            (
                name.as_str(),
                TensorView::new(*dtype, dims.clone(), bytes).expect("as many bytes as the shape holds"),
            )
        });
        // One key only: the order of several would differ from run to run.
        safetensors::serialize(views, Some(HashMap::from([(KEY.to_owned(), json)])))
            .expect("names are unique")
    }

    /// Reads a model file, of memory or of a map.
    ///
    /// # Errors
    /// If the bytes are not a model file, a tensor is missing or has another size, or the network breaks a rule.
    pub fn from_bytes(bytes: &[u8]) -> Result<(Self, About)> {
        let broken = |detail: String| Error::value("integer model", detail);
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| broken(format!("not a complete safetensors file ({e})")))?;
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|e| broken(e.to_string()))?;
        let Some(json) = metadata.metadata().as_ref().and_then(|m| m.get(KEY)) else {
            return Err(broken(format!("metadata has no `{KEY}`: not an integer-only network")));
        };
        let header: Header =
            serde_json::from_str(json).map_err(|e| broken(format!("metadata `{KEY}`: {e}")))?;
        if header.version != VERSION {
            return Err(broken(format!("version {}, this program reads {VERSION}", header.version)));
        }
        let tensors = Tensors { file: &file };
        let nodes = header
            .nodes
            .into_iter()
            .map(|NodeHeader { name, op }| Ok(IntNode { op: tensors.op(&name, op)?, name }));
        Ok((Self::new(header.values, nodes.collect::<Result<_>>()?)?, header.about))
    }

    /// Whether a safetensors file says it is one of these; `false` if it cannot be read.
    pub fn is_model(bytes: &[u8]) -> bool {
        let metadata = SafeTensors::read_metadata(bytes).ok();
        metadata.is_some_and(|(_, m)| m.metadata().as_ref().is_some_and(|m| m.contains_key(KEY)))
    }
}

impl OutputHeader {
    fn new((value, q): &(ValueId, Requantize)) -> Self {
        Self { value: *value, left: q.left, shift: q.shift, residual: q.residual, clip: [q.lo, q.hi] }
    }
}

/// The tensors of a file.
struct Tensors<'a> {
    file: &'a SafeTensors<'a>,
}

impl Tensors<'_> {
    /// The bytes of a tensor of this type and number of elements.
    fn bytes(&self, node: &str, suffix: &str, dtype: Dtype, len: usize) -> Result<&[u8]> {
        let name = format!("{node}.{suffix}");
        let broken = |detail: String| Error::value("integer model", format!("tensor `{name}`: {detail}"));
        let view = self.file.tensor(&name).map_err(|e| broken(e.to_string()))?;
        if view.dtype() != dtype || view.shape().iter().product::<usize>() != len {
            return Err(broken(format!(
                "expected {len} numbers {dtype:?}, found {:?} {:?}",
                view.shape(),
                view.dtype()
            )));
        }
        Ok(view.data())
    }

    fn op(&self, node: &str, op: OpHeader) -> Result<Op> {
        Ok(match op {
            OpHeader::Lookup { y } => {
                // As many tables as there are: the network's rules say how many there should be.
                let tables = self
                    .file
                    .tensor(&format!("{node}.table"))
                    .map_or(0, |t| t.shape().first().copied().unwrap_or(0));
                let bytes = self.bytes(node, "table", Dtype::U8, tables.saturating_mul(256))?;
                Op::Lookup {
                    y,
                    table: bytes.chunks(256).map(|row| row.try_into().expect("256 bytes")).collect(),
                }
            }
            OpHeader::Conv2d { x, w, bits, stride, padding, residual, y } => {
                let outputs = self.outputs(node, y, w[0])?;
                Op::Conv2d {
                    x,
                    w: self.weights(node, &w, bits)?,
                    w_bits: bits,
                    stride,
                    padding,
                    residual,
                    outputs,
                }
            }
            OpHeader::SubsamplePad { x, y, stride, lo } => Op::SubsamplePad { x, y, stride, lo },
            OpHeader::GlobalAvgPool { x, y } => {
                let multipliers = self.file.tensor(&format!("{node}.multiplier"));
                let channels = multipliers.map_or(0, |t| t.shape().last().copied().unwrap_or(0));
                Op::GlobalAvgPool { x, outputs: self.outputs(node, y, channels)? }
            }
            OpHeader::Linear { x, w, bits } => {
                let b_int = numbers(self.bytes(node, "bias", Dtype::I32, w[0])?, i32::from_le_bytes);
                let logit_scale = numbers(self.bytes(node, "scale", Dtype::F32, w[0])?, f32::from_le_bytes);
                Op::Linear { x, w: self.weights(node, &w, bits)?, w_bits: bits, b_int, logit_scale }
            }
        })
    }

    fn weights(&self, node: &str, dims: &[usize], bits: u32) -> Result<IntTensor<i8>> {
        let len =
            dims.iter().try_fold(1usize, |len, &d| len.checked_mul(d)).filter(|len| *len < usize::MAX / 8);
        let Some(len) = len.filter(|_| bits <= 8) else {
            let detail = format!("node `{node}`: weights {dims:?} of {bits} bits are not possible");
            return Err(Error::value("integer model", detail));
        };
        let bytes = self.bytes(node, "weight", Dtype::U8, packed_len(len, bits))?;
        IntTensor::from_vec(dims, unpack(bytes, len, bits)?)
    }

    fn outputs(
        &self,
        node: &str,
        headers: Vec<OutputHeader>,
        channels: usize,
    ) -> Result<Vec<(ValueId, Requantize)>> {
        let len = headers.len().saturating_mul(channels);
        let m = numbers(self.bytes(node, "multiplier", Dtype::I32, len)?, i32::from_le_bytes);
        let b = numbers(self.bytes(node, "bias", Dtype::I64, len)?, i64::from_le_bytes);
        let output = |(i, h): (usize, OutputHeader)| {
            let of = i * channels..(i + 1) * channels;
            let (multiplier, bias) = (m[of.clone()].to_vec(), b[of].to_vec());
            let OutputHeader { value, left, shift, residual, clip: [lo, hi] } = h;
            (value, Requantize { left, shift, multiplier, bias, residual, lo, hi })
        };
        Ok(headers.into_iter().enumerate().map(output).collect())
    }
}

/// Little-endian numbers.
fn numbers<T, const N: usize>(bytes: &[u8], number: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| number(chunk.try_into().expect("N bytes"))).collect()
}
