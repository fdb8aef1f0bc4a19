//! A pickle interpreter that can build data and nothing else.
//!
//! A pickle is a program for a small stack machine. Two of its instructions make it dangerous: `GLOBAL` fetches any
//! Python object by name and `REDUCE` calls it, so that loading a file can run `os.system`. This interpreter has
//! the stack and the memo, but no objects to call except the few of PyTorch's ([`global`]) that a
//! dictionary of tensors needs. Any other name becomes an [inert object](Object::Inert), and so does whatever calling it
//! would have given: the arguments of a training script and a NumPy scalar beside the weights do no harm, and only who
//! needs such an object to be a tensor is refused.
//!
//! Hostile input costs at most time and memory proportional to its length: values are small and point into a
//! heap of objects by number (so nothing nests on the native stack, and cycles do no harm), every read is checked
//! against the end, every object is paid for by at least one byte, and what calls copy is kept on a budget.
//!
//! Source: the opcode table of Python's `pickletools`, protocols 0 to 5; buffers outside the file (protocol 5) are not
//! read, nor are the textual persistent names of protocol 0, which PyTorch cannot read back either.

mod call;
mod effects;
mod global;
mod machine;
mod numbers;
mod value;

pub use value::{Heap, Id, Object, Storage, TensorView, Value};

/// Why a pickle was not read.
#[derive(Debug, PartialEq, Eq)]
pub enum PickleError {
    /// It needs a Python object that is not on the list.
    Refused(String),
    /// It is of protocol 0, in which PyTorch's storages have no names that can be read back.
    Protocol0,
    /// It is broken, or uses an instruction that state dictionaries do not need. What, and the byte at which.
    Broken(String, usize),
}

/// Result of reading a pickle.
pub type Result<T> = std::result::Result<T, PickleError>;

/// Reads the pickle at the beginning of `bytes`: its objects, its result, and how many bytes it took.
///
/// # Errors
/// [`PickleError::Refused`] for objects of the extension registry, [`PickleError::Broken`] for everything that is not a
/// pickle.
pub fn read(bytes: &[u8]) -> Result<(Heap, Value, usize)> {
    let mut machine = machine::Machine::new(bytes);
    let value = machine.run()?;
    Ok((machine.heap, value, machine.at))
}
