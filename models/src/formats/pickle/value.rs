//! What a pickle is made of: small values, and objects on a heap.

use super::global::Global;
use crate::formats::element::Element;

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
    /// Anything else that Python would make by calling what this name stands for. It is not made: only the name is kept.
    Inert(String),
}

/// The numbers behind one or several tensors, stored elsewhere in the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Type of the numbers.
    pub element: Element,
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
    /// Whether every number counts with the opposite sign: PyTorch's negative bit.
    pub negative: bool,
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

    pub(super) fn get_mut(&mut self, value: Value) -> Option<&mut Object> {
        match value {
            Value::Object(id) => self.0.get_mut(id),
            _ => None,
        }
    }
}
