//! Shared by the cross-crate tests: what holds the documentation to the source, an allocator that counts.

pub mod book;
pub mod counting;
pub mod one_number;
