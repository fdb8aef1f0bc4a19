//! The verbs, one file each: settings, and what is done with them.

pub mod bench;
pub mod calibrate;
pub mod completions;
pub mod data;
pub mod doctor;
pub mod eval;
pub mod export;
pub mod infer;
pub mod inspect;
pub mod man;
pub mod ptq;
pub mod qat;
pub mod report;
pub mod search;
pub mod table;
pub mod train;
