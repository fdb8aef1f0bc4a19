//! The instructions: one arm each, named as in `pickletools`.

use std::collections::HashMap;

use byteorder::{BigEndian, ByteOrder, LittleEndian as LE};

use super::{Heap, Object, PickleError, Result, Value};

/// The stack machine.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) heap: Heap,
    pub(super) stack: Vec<Value>,
    pub(super) marks: Vec<usize>,
    pub(super) memo: HashMap<u64, Value>,
    /// Entries that calls may still copy.
    pub(super) budget: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            heap: Heap::default(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            budget: 16 * bytes.len() + 1024,
        }
    }

    /// Executes instructions up to `STOP` and returns what is on top of the stack.
    pub(super) fn run(&mut self) -> Result<Value> {
        loop {
            match self.byte()? {
                // frame and end
                0x80 => drop(self.byte()?),  // PROTO: the version
                0x95 => drop(self.take(8)?), // FRAME: a hint for buffering
                b'.' => return self.pop(),   // STOP
                // stack and memo
                b'(' => self.marks.push(self.stack.len()), // MARK
                b'0' => drop(self.pop()?),                 // POP
                b'1' => drop(self.pop_mark()?),            // POP_MARK
                b'2' => {
                    let top = self.top()?; // DUP
                    self.stack.push(top);
                }
                b'q' => {
                    let index = self.byte()?.into(); // BINPUT
                    self.memo.insert(index, self.top()?);
                }
                b'r' => {
                    let index = self.u32()?.into(); // LONG_BINPUT
                    self.memo.insert(index, self.top()?);
                }
                0x94 => drop(self.memo.insert(self.memo.len() as u64, self.top()?)), // MEMOIZE
                b'p' => {
                    let index = self.index()?; // PUT
                    self.memo.insert(index, self.top()?);
                }
                b'g' => {
                    let index = self.index()?; // GET
                    self.recall(index)?;
                }
                b'h' => {
                    let index = self.byte()?.into(); // BINGET
                    self.recall(index)?;
                }
                b'j' => {
                    let index = self.u32()?.into(); // LONG_BINGET
                    self.recall(index)?;
                }
                // plain values
                b'N' => self.stack.push(Value::None),
                0x88 => self.stack.push(Value::Bool(true)),
                0x89 => self.stack.push(Value::Bool(false)),
                b'K' => {
                    let value = self.byte()?.into(); // BININT1
                    self.stack.push(Value::Int(value));
                }
                b'M' => {
                    let value = LE::read_u16(self.take(2)?).into(); // BININT2
                    self.stack.push(Value::Int(value));
                }
                b'J' => {
                    let value = LE::read_i32(self.take(4)?).into(); // BININT
                    self.stack.push(Value::Int(value));
                }
                0x8a => {
                    let len = self.byte()?.into(); // LONG1
                    self.long(len)?;
                }
                0x8b => {
                    let len = self.u32()? as usize; // LONG4
                    self.long(len)?;
                }
                b'I' | b'L' => {
                    let line = self.line()?; // INT, LONG: protocol 0, and truth values of protocol 1
                    self.decimal(&line)?;
                }
                b'F' => {
                    let line = self.line()?; // FLOAT: protocol 0
                    let value = line.parse().map_err(|_| self.broken("a float that is no number"))?;
                    self.stack.push(Value::Float(value));
                }
                b'G' => {
                    let value = BigEndian::read_f64(self.take(8)?); // BINFLOAT
                    self.stack.push(Value::Float(value));
                }
                // text and bytes, by the size of their length
                0x8c => {
                    let len = self.byte()?.into(); // SHORT_BINUNICODE
                    self.text(len)?;
                }
                b'X' | b'T' => {
                    let len = self.u32()? as usize; // BINUNICODE, BINSTRING
                    self.text(len)?;
                }
                b'U' => {
                    let len = self.byte()?.into(); // SHORT_BINSTRING
                    self.text(len)?;
                }
                0x8d => {
                    let len = self.u64()?; // BINUNICODE8
                    self.text(len)?;
                }
                b'C' => {
                    let len = self.byte()?.into(); // SHORT_BINBYTES
                    self.raw(len)?;
                }
                b'B' => {
                    let len = self.u32()? as usize; // BINBYTES
                    self.raw(len)?;
                }
                0x8e => {
                    let len = self.u64()?; // BINBYTES8
                    self.raw(len)?;
                }
                b'S' | b'V' => {
                    let line = self.line()?; // STRING, UNICODE: protocol 0
                    self.push(Object::Text(line.trim_matches(['\'', '"']).to_string()));
                }
                // containers
                b')' | b']' | 0x8f => self.push(Object::Sequence(Vec::new())), // EMPTY_TUPLE, _LIST, _SET
                b'}' => self.push(Object::Dict(Vec::new())),                   // EMPTY_DICT
                b't' | b'l' | 0x91 => {
                    let items = self.pop_mark()?; // TUPLE, LIST, FROZENSET
                    self.push(Object::Sequence(items));
                }
                count @ 0x85..=0x87 => {
                    let start = self.floor(usize::from(count) - 0x84)?; // TUPLE1, TUPLE2, TUPLE3
                    let items = self.stack.split_off(start);
                    self.push(Object::Sequence(items));
                }
                b'd' => {
                    let items = self.pop_mark()?; // DICT
                    let pairs = self.pairs(&items)?;
                    self.push(Object::Dict(pairs));
                }
                b'a' => {
                    let item = self.pop()?; // APPEND
                    self.extend_sequence(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?; // APPENDS, ADDITEMS
                    self.extend_sequence(items)?;
                }
                b's' => {
                    let start = self.floor(2)?; // SETITEM
                    let items = self.stack.split_off(start);
                    self.extend_dict(&items)?;
                }
                b'u' => {
                    let items = self.pop_mark()?; // SETITEMS
                    self.extend_dict(&items)?;
                }
                // objects
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?); // GLOBAL
                    self.global(&module, &name)?;
                }
                0x93 => {
                    let (name, module) = (self.pop_text()?, self.pop_text()?); // STACK_GLOBAL
                    self.global(&module, &name)?;
                }
                b'i' => {
                    let (module, name) = (self.line()?, self.line()?); // INST: fetch and call
                    let arguments = self.pop_mark()?;
                    self.global(&module, &name)?;
                    self.push(Object::Sequence(arguments));
                    self.call()?;
                }
                b'o' => {
                    let mut arguments = self.pop_mark()?; // OBJ: the class, then its arguments
                    if arguments.is_empty() {
                        return Err(self.broken("an object without a class"));
                    }
                    let class = arguments.remove(0);
                    self.stack.push(class);
                    self.push(Object::Sequence(arguments));
                    self.call()?;
                }
                b'R' | 0x81 => self.call()?, // REDUCE, NEWOBJ
                0x92 => {
                    self.pop()?; // NEWOBJ_EX: named arguments, which only inert objects are given
                    self.call()?;
                }
                b'b' => self.build()?,                      // BUILD
                b'Q' => self.persistent()?,                 // BINPERSID
                b'P' => return Err(PickleError::Protocol0), // PERSID
                // Copyreg's registry of extensions would name objects by number.
                0x82..=0x84 => {
                    return Err(PickleError::Refused("an object of the extension registry".into()));
                }
                opcode => return Err(self.broken(&format!("instruction 0x{opcode:02x}"))),
            }
        }
    }

    pub(super) fn broken(&self, what: &str) -> PickleError {
        PickleError::Broken(what.to_string(), self.at)
    }

    // The input.

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        if len > rest.len() {
            return Err(self.broken(&format!("the end, {len} more bytes expected")));
        }
        self.at += len;
        Ok(&rest[..len])
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(LE::read_u32(self.take(4)?))
    }

    fn u64(&mut self) -> Result<usize> {
        let len = LE::read_u64(self.take(8)?);
        usize::try_from(len).map_err(|_| self.broken("a length beyond the address space"))
    }

    pub(super) fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|&b| b == b'\n') else {
            return Err(self.broken("the end within a line"));
        };
        self.at += len + 1;
        Ok(String::from_utf8_lossy(&rest[..len]).into_owned())
    }

    fn text(&mut self, len: usize) -> Result<()> {
        let text = String::from_utf8_lossy(self.take(len)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn raw(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?.to_vec();
        self.push(Object::Bytes(bytes));
        Ok(())
    }
}
