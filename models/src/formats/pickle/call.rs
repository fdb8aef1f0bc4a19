//! What calling an object of the list means here: dictionaries, tensors, sizes. Nothing else is called.

use super::global::Global;
use super::value::{Heap, Object, Storage, TensorView, Value};

impl Global {
    /// The object that calling this one gives; `Err` says what was wrong with the arguments.
    pub fn call(self, arguments: &[Value], heap: &Heap) -> Result<Object, &'static str> {
        match (self, arguments) {
            (Self::OrderedDict, []) => Ok(Object::Dict(Vec::new())),
            (Self::OrderedDict, &[items]) => {
                let pair = |&item: &Value| match heap.sequence(item) {
                    Some(&[key, value]) => Ok((key, value)),
                    _ => Err("an OrderedDict of something other than pairs"),
                };
                let items = heap.sequence(items).ok_or("an OrderedDict of something other than pairs")?;
                Ok(Object::Dict(items.iter().map(pair).collect::<Result<_, _>>()?))
            }
            (Self::DefaultDict, _) => Ok(Object::Dict(Vec::new())),
            (Self::RebuildTensor, &[storage, offset, size, stride]) => {
                tensor(heap, [storage, offset, size, stride], false)
            }
            // Whether a gradient is wanted, and hooks on it, do not change the numbers.
            (Self::RebuildTensorV2, &[storage, offset, size, stride, _grad, _hooks]) => {
                tensor(heap, [storage, offset, size, stride], false)
            }
            (Self::RebuildTensorV2, &[storage, offset, size, stride, _grad, _hooks, metadata]) => {
                tensor(heap, [storage, offset, size, stride], negative_bit(metadata, heap)?)
            }
            (Self::RebuildParameter, &[tensor, _grad, _hooks] | &[tensor, _grad, _hooks, _]) => {
                match heap.get(tensor) {
                    Some(object @ (Object::Tensor(_) | Object::Inert(_))) => Ok(object.clone()),
                    _ => Err("a parameter without a tensor"),
                }
            }
            (Self::Size, &[sizes]) => {
                heap.sequence(sizes).map(|s| Object::Sequence(s.to_vec())).ok_or("a size that is not a tuple")
            }
            _ => Err("a call with other arguments than PyTorch's"),
        }
    }
}

/// A view of a storage; inert if its storage is.
fn tensor(heap: &Heap, arguments: [Value; 4], negative: bool) -> Result<Object, &'static str> {
    let [storage, offset, size, stride] = arguments;
    let storage = match heap.get(storage) {
        Some(Object::Storage(storage)) => storage.clone(),
        Some(Object::Inert(name)) => return Ok(Object::Inert(name.clone())),
        _ => return Err("a tensor without a storage"),
    };
    let (offset, size, stride) = (extent(offset)?, extents(size, heap)?, extents(stride, heap)?);
    if size.len() != stride.len() {
        return Err("a tensor with unequal numbers of sizes and strides");
    }
    Ok(Object::Tensor(TensorView { storage, offset, size, stride, negative }))
}

/// The negative bit of a tensor's metadata. The conjugate bit is for complex numbers: it changes no real one. Anything
/// else in there would mean something that is not known here.
fn negative_bit(metadata: Value, heap: &Heap) -> Result<bool, &'static str> {
    if metadata == Value::None {
        return Ok(false);
    }
    let mut negative = false;
    for &(key, value) in heap.dict(metadata).ok_or("tensor metadata that is not a dictionary")? {
        match (heap.text(key), value) {
            (Some("neg"), Value::Bool(bit)) => negative = bit,
            (Some("conj"), Value::Bool(_)) => {}
            _ => return Err("tensor metadata other than the negative and the conjugate bit"),
        }
    }
    Ok(negative)
}

/// The storage of a persistent id `('storage', type, key, location, numel)`. (A sixth entry that is not `None`
/// would make it a view of another storage, a feature PyTorch abandoned before it was used.)
/// A storage of a type that is not on the list (complex numbers, say) is inert.
pub fn storage(id: Value, heap: &Heap) -> Result<Object, &'static str> {
    let (kind, class, key, len) = match heap.sequence(id) {
        Some(&[kind, class, key, _location, len]) => (kind, class, key, len),
        Some(&[kind, class, key, _location, len, Value::None]) => (kind, class, key, len),
        _ => return Err("a persistent id that is not a storage"),
    };
    match (heap.text(kind), heap.get(class), heap.text(key)) {
        (Some("storage"), Some(Object::Global(Global::StorageType(element))), Some(key)) => {
            Ok(Object::Storage(Storage { element: *element, key: key.to_string(), len: extent(len)? }))
        }
        (Some("storage"), Some(Object::Inert(name)), Some(_)) => Ok(Object::Inert(name.clone())),
        _ => Err("a persistent id that is not a storage"),
    }
}

fn extent(value: Value) -> Result<usize, &'static str> {
    match value {
        Value::Int(n) => usize::try_from(n).map_err(|_| "a negative size, stride or offset"),
        _ => Err("a size, stride or offset that is not an integer"),
    }
}

fn extents(value: Value, heap: &Heap) -> Result<Vec<usize>, &'static str> {
    heap.sequence(value).ok_or("sizes or strides that are not a tuple")?.iter().map(|&v| extent(v)).collect()
}
