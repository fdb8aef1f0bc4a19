//! Integers in a pickle: in digits (protocols 0 and 1) or in two's complement.

use byteorder::{ByteOrder, LittleEndian as LE};

use super::machine::Machine;
use super::{Object, Result, Value};

impl Machine<'_> {
    /// The number of a memo, in digits.
    pub(super) fn index(&mut self) -> Result<u64> {
        self.line()?.trim().parse().map_err(|_| self.broken("a memo without a number"))
    }

    /// An integer in digits; `00` and `01` are the truth values of protocols 0 and 1.
    pub(super) fn decimal(&mut self, line: &str) -> Result<()> {
        let digits = line.trim().trim_end_matches('L');
        let value: i128 = match digits {
            "00" | "01" => {
                self.stack.push(Value::Bool(digits == "01"));
                return Ok(());
            }
            digits => digits.parse().map_err(|_| self.broken("an integer that is no number"))?,
        };
        match i64::try_from(value) {
            Ok(value) => self.stack.push(Value::Int(value)),
            Err(_) => {
                let bytes = value.to_le_bytes();
                let len = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
                self.push(Object::Bytes(bytes[..len].to_vec()));
            }
        }
        Ok(())
    }

    /// Two's complement, little-endian, of any length.
    pub(super) fn long(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        if len > 8 {
            self.push(Object::Bytes(bytes.to_vec()));
        } else {
            let value = if len == 0 { 0 } else { LE::read_int(bytes, len) };
            self.stack.push(Value::Int(value));
        }
        Ok(())
    }
}
