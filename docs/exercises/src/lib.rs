//! The exercises of the book that are functions to fill in: one file for each chapter, [`checks`] for all of them, and
//! [`solutions`] that pass.
//!
//! `cargo test -p exercises --test reader -- --ignored chapter_2` checks yours.

pub mod chapter_0;
pub mod chapter_1;
pub mod chapter_2;
pub mod chapter_3;
pub mod chapter_4;
pub mod chapter_5;
pub mod chapter_6;
pub mod chapter_7;
pub mod chapter_8;
pub mod chapter_9;
pub mod checks;
pub mod solutions;

/// Nobody has filled this function in yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsolved;

/// What a function of an exercise returns.
pub type Answer<T> = Result<T, Unsolved>;
