//! ONNX files: the float network as it is, the quantized one between `QuantizeLinear` and `DequantizeLinear`.
//!
//! ```text
//! x ─ QuantizeLinear ─ DequantizeLinear ─┐
//!                w_int ─ DequantizeLinear ─ Conv ─ BatchNormalization ─ Relu ─
//! ```
//!
//! 1. [`protobuf`]: numbers and text as bytes.
//! 2. [`model`]: the messages of the standard.
//! 3. [`storage`]: which of its integer types holds a grid.
//! 4. [`network`]: the layers, and how a quantized one is written.
//!
//! The grids are exactly those of the integer layers, and so are the codes of weights and bias; what is left to the
//! runtime is how it sums.

mod model;
mod network;
mod protobuf;
mod storage;

pub use network::to_bytes;
pub use storage::{OPSETS, least_opset};
