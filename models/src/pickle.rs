//! A pickle interpreter that can build data and nothing else.
//!
//! A pickle is a program for a small stack machine. Two of its instructions make it dangerous: `GLOBAL` fetches any
//! Python object by name and `REDUCE` calls it, so that loading a file can run `os.system`. This interpreter has
//! the stack and the memo, but no objects to call except the [few of PyTorch's](crate::torch_global) that a
//! dictionary of tensors needs; any other name ends the reading before anything is called.
//!
//! Hostile input costs at most time and memory proportional to its length: values are small and point into a
//! heap of objects by number (so nothing nests on the native stack, and cycles do no harm), every read is checked
//! against the end, every object is paid for by at least one byte, and what calls copy is kept on a budget.
//!
//! Source: the opcode table of Python's `pickletools`, protocols 0 to 5 as far as `torch.save` emits them.

use std::collections::HashMap;

use byteorder::{BigEndian, ByteOrder, LittleEndian as LE};

use crate::torch_global::Global;

/// Why a pickle was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum PickleError {
    /// It names a Python object that is not on the list.
    Refused(String),
    /// It is broken, or uses an instruction that state dictionaries do not need. What, and the byte at which.
    Broken(String, usize),
}

/// Result of reading a pickle.
pub type Result<T> = std::result::Result<T, PickleError>;

/// A number of an object on the [`Heap`].
pub type Id = usize;

/// What the stack holds: plain values, or the number of an object on the heap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// `True`, `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A double.
    Float(f64),
    /// Anything larger.
    Object(Id),
}

/// What the heap holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// Text.
    Text(String),
    /// Bytes, or an integer of more than 64 bits (little-endian).
    Bytes(Vec<u8>),
    /// A tuple, a list or a set.
    Sequence(Vec<Value>),
    /// A dictionary, ordered.
    Dict(Vec<(Value, Value)>),
    /// A Python object of the list.
    Global(Global),
    /// A storage, by its persistent id: `('storage', type, key, location, numel, ...)`.
    Storage(Storage),
    /// A view of a storage.
    Tensor(TensorView),
}

/// The numbers behind one or several tensors, stored elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Type of the numbers.
    pub element: crate::element::Element,
    /// The name under which the file keeps them.
    pub key: String,
    /// How many there are.
    pub len: usize,
}

/// A tensor as PyTorch saves it: element `(i, j, ..)` is number `offset + i * stride[0] + j * stride[1] + ..` of
/// the storage.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorView {
    /// Where the numbers are.
    pub storage: Storage,
    /// Number of the first.
    pub offset: usize,
    /// Extents.
    pub size: Vec<usize>,
    /// Steps between neighbours along each dimension.
    pub stride: Vec<usize>,
}

/// All objects of a pickle.
#[derive(Debug, Default)]
pub struct Heap(Vec<Object>);

impl Heap {
    /// Adds an object.
    pub fn add(&mut self, object: Object) -> Value {
        self.0.push(object);
        Value::Object(self.0.len() - 1)
    }

    /// The object `value` stands for, if it is one.
    pub fn get(&self, value: Value) -> Option<&Object> {
        match value {
            Value::Object(id) => self.0.get(id),
            _ => None,
        }
    }

    /// All objects, in the order of their making.
    pub fn objects(&self) -> impl Iterator<Item = &Object> {
        self.0.iter()
    }

    /// The text `value` stands for.
    pub fn text(&self, value: Value) -> Option<&str> {
        match self.get(value)? {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a tuple, list or set.
    pub fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.get(value)? {
            Object::Sequence(items) => Some(items),
            _ => None,
        }
    }

    /// The items of a dictionary.
    pub fn dict(&self, value: Value) -> Option<&[(Value, Value)]> {
        match self.get(value)? {
            Object::Dict(items) => Some(items),
            _ => None,
        }
    }

    fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::Object(id) => self.0.get_mut(id),
            _ => None,
        }
    }
}

/// Reads the pickle at the beginning of `bytes`: its objects, its result, and how many bytes it took.
///
/// # Errors
/// [`PickleError::Refused`] at the first name that is not on the list, [`PickleError::Broken`] for everything
/// that is not a pickle of plain data and tensors.
pub fn read(bytes: &[u8]) -> Result<(Heap, Value, usize)> {
    let mut machine = Machine {
        bytes,
        at: 0,
        heap: Heap::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        budget: 16 * bytes.len() + 1024,
    };
    let value = machine.run()?;
    Ok((machine.heap, value, machine.at))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    heap: Heap,
    stack: Vec<Value>,
    marks: Vec<usize>,
    memo: HashMap<u64, Value>,
    /// Entries that calls may still copy.
    budget: usize,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Value> {
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
                    self.global(&module, &name)?;
                    return Err(self.broken("instruction INST"));
                }
                b'R' | 0x81 => self.call()?, // REDUCE, NEWOBJ
                b'b' => self.build()?,       // BUILD
                b'Q' => self.persistent()?,  // BINPERSID
                // Copyreg's registry of extensions would name objects by number.
                0x82..=0x84 => {
                    return Err(PickleError::Refused("an object of the extension registry".into()));
                }
                opcode => return Err(self.broken(&format!("instruction 0x{opcode:02x}"))),
            }
        }
    }

    fn broken(&self, what: &str) -> PickleError {
        PickleError::Broken(what.to_string(), self.at)
    }

    // The input.

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
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

    fn line(&mut self) -> Result<String> {
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

    /// Two's complement, little-endian, of any length.
    fn long(&mut self, len: usize) -> Result<()> {
        let bytes = self.take(len)?;
        if len > 8 {
            self.push(Object::Bytes(bytes.to_vec()));
        } else {
            let value = if len == 0 { 0 } else { LE::read_int(bytes, len) };
            self.stack.push(Value::Int(value));
        }
        Ok(())
    }

    // The stack.

    fn push(&mut self, object: Object) {
        let value = self.heap.add(object);
        self.stack.push(value);
    }

    /// The height of the stack without its `count` topmost values, which must lie above the last mark.
    fn floor(&self, count: usize) -> Result<usize> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        self.stack
            .len()
            .checked_sub(count)
            .filter(|&start| start >= bottom)
            .ok_or_else(|| self.broken("an empty stack"))
    }

    fn pop(&mut self) -> Result<Value> {
        let place = self.floor(1)?;
        let value = self.stack[place];
        self.stack.truncate(place);
        Ok(value)
    }

    fn top(&self) -> Result<Value> {
        Ok(self.stack[self.floor(1)?])
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>> {
        let start = self.marks.pop().ok_or_else(|| self.broken("a missing mark"))?;
        Ok(self.stack.split_off(start))
    }

    fn pop_text(&mut self) -> Result<String> {
        let value = self.pop()?;
        let text = self.heap.text(value).map(str::to_string);
        text.ok_or_else(|| self.broken("a name that is not text"))
    }

    fn recall(&mut self, index: u64) -> Result<()> {
        let value = self.memo.get(&index).copied();
        self.stack.push(value.ok_or_else(|| self.broken("a memo that was never written"))?);
        Ok(())
    }

    // Containers.

    fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>> {
        if !items.len().is_multiple_of(2) {
            return Err(self.broken("a key without a value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn extend_sequence(&mut self, items: Vec<Value>) -> Result<()> {
        let list = self.top()?;
        match self.heap.get_mut(list) {
            Some(Object::Sequence(all)) => all.extend(items),
            _ => return Err(self.broken("items for something that is not a list")),
        }
        Ok(())
    }

    fn extend_dict(&mut self, items: &[Value]) -> Result<()> {
        let pairs = self.pairs(items)?;
        let dict = self.top()?;
        match self.heap.get_mut(dict) {
            Some(Object::Dict(all)) => all.extend(pairs),
            _ => return Err(self.broken("items for something that is not a dictionary")),
        }
        Ok(())
    }

    // Objects.

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        let global = Global::find(module, name);
        let global = global.ok_or_else(|| PickleError::Refused(format!("{module}.{name}")))?;
        self.push(Object::Global(global));
        Ok(())
    }

    /// `callable(*arguments)`: the callable can only be a [`Global`].
    fn call(&mut self) -> Result<()> {
        let (arguments, callable) = (self.pop()?, self.pop()?);
        let result = match (self.heap.get(callable), self.heap.sequence(arguments)) {
            (Some(Object::Global(global)), Some(arguments)) => {
                global.call(arguments, &self.heap).map_err(|what| self.broken(what))?
            }
            _ => return Err(self.broken("a call of something that cannot be called")),
        };
        self.pay(&result)?;
        self.push(result);
        Ok(())
    }

    /// Without this, calling `Size` on one long tuple again and again would take memory by the square of the file.
    fn pay(&mut self, copy: &Object) -> Result<()> {
        let cost = match copy {
            Object::Sequence(items) => items.len(),
            Object::Dict(items) => items.len(),
            Object::Storage(storage) => storage.key.len(),
            Object::Tensor(view) => view.storage.key.len() + view.size.len() + view.stride.len(),
            Object::Text(_) | Object::Bytes(_) | Object::Global(_) => 0,
        };
        self.budget =
            self.budget.checked_sub(cost).ok_or_else(|| self.broken("more copies than the file can mean"))?;
        Ok(())
    }

    /// `object.__setstate__(state)`. PyTorch hangs version numbers on its dictionaries this way; they are dropped.
    fn build(&mut self) -> Result<()> {
        self.pop()?;
        let object = self.top()?;
        match self.heap.get(object) {
            Some(Object::Dict(_) | Object::Tensor(_)) => Ok(()),
            _ => Err(self.broken("state for something that has none")),
        }
    }

    fn persistent(&mut self) -> Result<()> {
        let id = self.pop()?;
        let storage = crate::torch_global::storage(id, &self.heap).map_err(|what| self.broken(what))?;
        let storage = Object::Storage(storage);
        self.pay(&storage)?;
        self.push(storage);
        Ok(())
    }
}
