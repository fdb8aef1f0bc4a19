//! The Python objects a PyTorch state dictionary may name, and what calling them means here.

use crate::{
    element::Element,
    pickle::{Heap, Object, Storage, TensorView, Value},
};

/// A Python object of the list. There is no other way to obtain one than [`Global::find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `torch._utils._rebuild_tensor(storage, offset, size, stride)` and `_rebuild_tensor_v2(.., requires_grad, hooks)`.
    RebuildTensor,
    /// `torch._utils._rebuild_parameter(tensor, requires_grad, hooks)`.
    RebuildParameter,
    /// `torch.Size(extents)`.
    Size,
    /// `torch.FloatStorage` and its like: the type of a storage, never called.
    StorageType(Element),
}

impl Global {
    /// The object of this name, `None` unless it is on the list.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch" | "torch.cuda", storage) => Self::StorageType(match storage {
                "DoubleStorage" => Element::F64,
                "FloatStorage" => Element::F32,
                "HalfStorage" => Element::F16,
                "BFloat16Storage" => Element::Bf16,
                "LongStorage" => Element::I64,
                "IntStorage" => Element::I32,
                "ShortStorage" => Element::I16,
                "CharStorage" => Element::I8,
                "ByteStorage" | "BoolStorage" => Element::U8,
                _ => return None,
            }),
            _ => return None,
        })
    }

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
            (Self::RebuildTensor, &[storage, offset, size, stride, ..]) => {
                let Some(Object::Storage(storage)) = heap.get(storage) else {
                    return Err("a tensor without a storage");
                };
                let view = TensorView {
                    storage: storage.clone(),
                    offset: extent(offset)?,
                    size: extents(size, heap)?,
                    stride: extents(stride, heap)?,
                };
                if view.size.len() != view.stride.len() {
                    return Err("a tensor with unequal numbers of sizes and strides");
                }
                Ok(Object::Tensor(view))
            }
            (Self::RebuildParameter, &[tensor, ..]) => match heap.get(tensor) {
                Some(Object::Tensor(view)) => Ok(Object::Tensor(view.clone())),
                _ => Err("a parameter without a tensor"),
            },
            (Self::Size, &[sizes]) => {
                heap.sequence(sizes).map(|s| Object::Sequence(s.to_vec())).ok_or("a size that is not a tuple")
            }
            _ => Err("a call with other arguments than PyTorch's"),
        }
    }
}

/// The storage of a persistent id `('storage', type, key, location, numel)`. (A sixth entry that is not `None`
/// would make it a view of another storage, a feature PyTorch abandoned before it was used.)
pub fn storage(id: Value, heap: &Heap) -> Result<Storage, &'static str> {
    let (kind, class, key, len) = match heap.sequence(id) {
        Some(&[kind, class, key, _location, len]) => (kind, class, key, len),
        Some(&[kind, class, key, _location, len, Value::None]) => (kind, class, key, len),
        _ => return Err("a persistent id that is not a storage"),
    };
    match (heap.text(kind), heap.get(class), heap.text(key)) {
        (Some("storage"), Some(Object::Global(Global::StorageType(element))), Some(key)) => {
            Ok(Storage { element: *element, key: key.to_string(), len: extent(len)? })
        }
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
