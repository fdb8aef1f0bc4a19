//! Shared by the cross-crate tests: what holds the documentation to the source, an allocator that counts, what the
//! fuzzer runs.

pub mod book;
pub mod counting;
pub mod fuzzed;
pub mod one_number;
