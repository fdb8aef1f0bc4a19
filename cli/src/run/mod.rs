//! What verbs share in running: what they are given ([`context`], [`settings`], [`input`], [`assets`]), what they do
//! ([`experiment`], [`fit`]), where they keep it ([`run_folder`]), and how they end ([`exit`], [`interrupt`]).

pub mod algorithm;
pub mod arguments;
pub mod assets;
pub mod context;
pub mod exit;
pub mod experiment;
pub mod fit;
pub mod forecast;
pub mod input;
pub mod interrupt;
pub mod memory;
pub mod overwrite;
pub mod program;
pub mod progress;
pub mod run_folder;
pub mod settings;
pub mod shard;
