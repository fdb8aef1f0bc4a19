//! The integer-only network as a WebAssembly module.
//!
//! Bytes come in and go out through the module's memory, without a generator of bindings:
//!
//! ```text
//! page                                     module
//! at = input(len)                          makes room for `len` bytes and says where
//! memory[at .. at + len] = bytes
//! n = classify()                           reads them, writes an answer, says how long it is;
//!                                          -n if it is an error, then the answer is its text
//! answer = memory[output() .. + |n|]
//! ```
//!
//! | function | input | answer |
//! |---|---|---|
//! | `load` | a model file | what is in it, as JSON |
//! | `classify` | an image, `[h][w][3]` bytes | the logits: integers (i32), then in real numbers (f32), little-endian |
//! | `weight_codes(node)` | | how often each code of the grid is a weight of this node (u32) |
//! | `input_codes(node)` | | the same of the codes that it read for the last image |
//!
//! [`Demo`] is all of it in safe Rust; what is here only keeps one and moves bytes.
// An exported name is unsafe because two functions could have it. Nothing else here is.
#![allow(unsafe_code)]

mod demo;

use std::cell::RefCell;

pub use demo::Demo;

#[derive(Default)]
struct Module {
    demo: Demo,
    input: Vec<u8>,
    output: Vec<u8>,
}

thread_local! {
    static MODULE: RefCell<Module> = RefCell::default();
}

// book: answer
/// Keeps the answer or the error, and returns its length, negative for an error.
fn answer(ask: impl FnOnce(&mut Demo, &[u8]) -> Result<Vec<u8>, String>) -> i32 {
    MODULE.with_borrow_mut(|module| {
        let answer = ask(&mut module.demo, &module.input);
        let sign = if answer.is_ok() { 1 } else { -1 };
        module.output = answer.unwrap_or_else(String::into_bytes);
        sign * module.output.len() as i32
    })
}

/// Classifies the image in the input; the answer is [`Demo::classify`].
#[unsafe(no_mangle)]
pub extern "C" fn classify() -> i32 {
    answer(|demo, image| demo.classify(image))
}
// book end

/// Room for `len` bytes of input, and where it begins.
#[unsafe(no_mangle)]
pub extern "C" fn input(len: usize) -> *mut u8 {
    MODULE.with_borrow_mut(|module| {
        module.input.clear();
        module.input.resize(len, 0);
        module.input.as_mut_ptr()
    })
}

/// Where the last answer begins.
#[unsafe(no_mangle)]
pub extern "C" fn output() -> *const u8 {
    MODULE.with_borrow(|module| module.output.as_ptr())
}

/// Reads the model file in the input; the answer is [`Demo::about`].
#[unsafe(no_mangle)]
pub extern "C" fn load() -> i32 {
    answer(|demo, bytes| demo.load(bytes).map(|()| demo.about().into_bytes()))
}

/// [`Demo::weight_codes`].
#[unsafe(no_mangle)]
pub extern "C" fn weight_codes(node: usize) -> i32 {
    answer(|demo, _| demo.weight_codes(node).map(|counts| bytes(&counts)))
}

/// [`Demo::input_codes`].
#[unsafe(no_mangle)]
pub extern "C" fn input_codes(node: usize) -> i32 {
    answer(|demo, _| demo.input_codes(node).map(|counts| bytes(&counts)))
}

fn bytes(counts: &[u32]) -> Vec<u8> {
    counts.iter().flat_map(|count| count.to_le_bytes()).collect()
}
