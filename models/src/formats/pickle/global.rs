//! The Python objects that a PyTorch state dictionary may name.

use crate::formats::element::Element;

/// A Python object of the list. There is no other way to obtain one than [`Global::find`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Global {
    /// `collections.OrderedDict`.
    OrderedDict,
    /// `collections.defaultdict(factory)`: a dictionary; nobody asks it for a key it has not.
    DefaultDict,
    /// `torch._utils._rebuild_tensor(storage, offset, size, stride)`.
    RebuildTensor,
    /// `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks, metadata)`; the metadata, which
    /// may be left out, holds the negative and the conjugate bit.
    RebuildTensorV2,
    /// `torch._utils._rebuild_parameter(tensor, requires_grad, hooks)`, and `_rebuild_parameter_with_state(.., state)`,
    /// whose state is attributes beside the numbers.
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
            ("collections", "defaultdict") => Self::DefaultDict,
            ("torch._utils", "_rebuild_tensor") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensorV2,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
                Self::RebuildParameter
            }
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
}
