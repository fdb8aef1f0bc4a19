//! Shared by the cross-crate tests: what holds the documentation to the source.

pub mod book;
