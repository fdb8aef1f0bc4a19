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

mod effects;
mod machine;
mod value;

pub use value::{Heap, Id, Object, Storage, TensorView, Value};

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

/// Reads the pickle at the beginning of `bytes`: its objects, its result, and how many bytes it took.
///
/// # Errors
/// [`PickleError::Refused`] at the first name that is not on the list, [`PickleError::Broken`] for everything
/// that is not a pickle of plain data and tensors.
pub fn read(bytes: &[u8]) -> Result<(Heap, Value, usize)> {
    let mut machine = machine::Machine::new(bytes);
    let value = machine.run()?;
    Ok((machine.heap, value, machine.at))
}
