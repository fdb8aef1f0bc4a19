//! Protocol buffers, as far as ONNX needs them: messages of numbered fields, in three wire types.
//!
//! ```text
//! field    =  key, value                     key = (number << 3 | wire type) as a varint
//! varint   =  7 bits a byte, lowest first, the top bit set on all but the last          wire type 0
//! bytes    =  their length as a varint, then they                                       wire type 2
//! float    =  four bytes, lowest first                                                  wire type 5
//! ```
//!
//! Text and messages inside messages are bytes; a repeated field is the same field again; a negative number is its two's
//! complement in 64 bits, which takes ten bytes. Source: the encoding page of Protocol Buffers' documentation.

/// A message that is being written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Adds a whole number.
    #[must_use]
    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    /// Adds bytes.
    #[must_use]
    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    /// Adds text.
    #[must_use]
    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    /// Adds a 32-bit float.
    #[must_use]
    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// Adds a message.
    #[must_use]
    pub fn message(self, field: u64, message: Self) -> Self {
        self.bytes(field, &message.0)
    }

    /// Adds each of `messages`: a repeated field.
    #[must_use]
    pub fn messages(self, field: u64, messages: impl IntoIterator<Item = Self>) -> Self {
        messages.into_iter().fold(self, |all, message| all.message(field, message))
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_by_hand() {
        let of = |message: Message| message.into_bytes();
        assert_eq!(of(Message::default().int(1, 150)), [0x08, 0x96, 0x01]); // the documentation's example
        assert_eq!(of(Message::default().text(2, "testing")), *b"\x12\x07testing");
        assert_eq!(of(Message::default().int(1, 0)), [0x08, 0]);
        assert_eq!(of(Message::default().int(1, -1)), [0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]);
        assert_eq!(of(Message::default().float(2, 1.0)), [0x15, 0, 0, 0x80, 0x3f]);
        assert_eq!(
            of(Message::default().message(3, Message::default().int(1, 150))),
            *b"\x1a\x03\x08\x96\x01"
        );
        assert_eq!(of(Message::default().int(16, 1)), [0x80, 0x01, 1]); // a key of two bytes
        let twice = Message::default().messages(1, [Message::default(), Message::default().int(1, 1)]);
        assert_eq!(of(twice), [0x0a, 0, 0x0a, 2, 0x08, 1]);
    }
}
