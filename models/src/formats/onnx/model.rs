//! The messages of an ONNX file, with the numbers of their fields: model, graph, node, tensor, value.
//!
//! Source: `onnx.proto` of the ONNX standard, of which this is the part that a feed-forward network needs.

use super::protobuf::Message;

/// An element type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// Integers of so many bits; those of 2 and 4 are packed.
    Int {
        /// 2, 4, 8, 16, 32 or 64.
        bits: u32,
        /// Whether there are negative ones.
        signed: bool,
    },
}

impl Element {
    /// 32-bit integers.
    pub const I32: Self = Self::Int { bits: 32, signed: true };
    /// 64-bit integers.
    pub const I64: Self = Self::Int { bits: 64, signed: true };

    /// Its number in the standard.
    fn number(self) -> i64 {
        match self {
            Self::F32 => 1,
            Self::Int { bits, signed } => match (bits, signed) {
                (2, false) => 25,
                (2, true) => 26,
                (4, false) => 21,
                (4, true) => 22,
                (8, false) => 2,
                (8, true) => 3,
                (16, false) => 4,
                (16, true) => 5,
                (32, true) => 6,
                (64, true) => 7,
                _ => unreachable!("no such type is written"),
            },
        }
    }
}

/// A tensor of floats.
pub fn floats(name: &str, dims: &[usize], values: &[f32]) -> Message {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, Element::F32, dims, &bytes)
}

/// A tensor of integers of `bits` bits.
pub fn integers(name: &str, element: Element, dims: &[usize], values: &[i64]) -> Message {
    let Element::Int { bits, .. } = element else { unreachable!("floats are no integers") };
    let bytes = if bits < 8 {
        pack(values, bits)
    } else {
        values.iter().flat_map(|v| v.to_le_bytes().into_iter().take(bits as usize / 8)).collect()
    };
    tensor(name, element, dims, &bytes)
}

/// Codes of 2 or 4 bits, several in a byte, the first in the lowest bits; the last byte is filled up with zeros.
fn pack(values: &[i64], bits: u32) -> Vec<u8> {
    let mask = (1 << bits) - 1;
    let byte = |codes: &[i64]| {
        let places = codes.iter().enumerate();
        places.fold(0, |byte, (i, &code)| byte | ((code as u8 & mask) << (bits as usize * i)))
    };
    values.chunks(8 / bits as usize).map(byte).collect()
}

fn tensor(name: &str, element: Element, dims: &[usize], bytes: &[u8]) -> Message {
    let message = dims.iter().fold(Message::default(), |m, &d| m.int(1, d as i64));
    message.int(2, element.number()).text(8, name).bytes(9, bytes)
}

/// A node: `output = kind(inputs)`, under the name of its output.
pub fn node(kind: &str, inputs: &[&str], output: &str, attributes: Vec<Message>) -> Message {
    let message = inputs.iter().fold(Message::default(), |m, input| m.text(1, input));
    message.text(2, output).text(3, output).text(4, kind).messages(5, attributes)
}

/// An attribute that is a whole number.
pub fn int(name: &str, value: i64) -> Message {
    Message::default().text(1, name).int(3, value).int(20, 2)
}

/// An attribute that is a list of whole numbers.
pub fn ints(name: &str, values: &[usize]) -> Message {
    let message = values.iter().fold(Message::default().text(1, name), |m, &v| m.int(8, v as i64));
    message.int(20, 7)
}

/// An attribute that is a float.
pub fn float(name: &str, value: f32) -> Message {
    Message::default().text(1, name).float(2, value).int(20, 1)
}

/// A tensor of floats that comes in or goes out: any number `N` of entries of shape `dims`.
pub fn value(name: &str, dims: &[usize]) -> Message {
    let batch = Message::default().text(2, "N");
    let rest = dims.iter().map(|&d| Message::default().int(1, d as i64));
    let shape = Message::default().messages(1, std::iter::once(batch).chain(rest));
    let kind = Message::default().int(1, Element::F32.number()).message(2, shape);
    Message::default().text(1, name).message(2, Message::default().message(1, kind))
}

/// What a graph is made of.
#[derive(Debug, Default)]
pub struct GraphParts {
    /// In an order in which they can be computed.
    pub nodes: Vec<Message>,
    /// Constants.
    pub initializers: Vec<Message>,
    /// What comes in.
    pub inputs: Vec<Message>,
    /// What goes out.
    pub outputs: Vec<Message>,
}

/// The bytes of the file: `graph` in the operators' version `opset`, with text under text.
pub fn file<'a>(
    graph: GraphParts,
    opset: u32,
    metadata: impl Iterator<Item = (&'a String, &'a String)>,
) -> Vec<u8> {
    let graph = Message::default()
        .messages(1, graph.nodes)
        .text(2, "network")
        .messages(5, graph.initializers)
        .messages(11, graph.inputs)
        .messages(12, graph.outputs);
    let entry = |(key, value): (&'a String, &'a String)| Message::default().text(1, key).text(2, value);
    Message::default()
        .int(1, ir_version(opset))
        .text(2, "quantlab")
        .text(3, env!("CARGO_PKG_VERSION"))
        .message(7, graph)
        .message(8, Message::default().text(1, "").int(2, opset.into()))
        .messages(14, metadata.map(entry))
        .into_bytes()
}

/// The oldest version of the file format that has what `opset` needs.
fn ir_version(opset: u32) -> i64 {
    match opset {
        ..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_packed_from_the_lowest_bits_up() {
        assert_eq!(pack(&[1, -1, 7], 4), [0xf1, 0x07]);
        assert_eq!(pack(&[1, -2, -1, 0, 1], 2), [0b00_11_10_01, 0b01]);
    }
}
