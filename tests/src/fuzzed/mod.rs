//! What holds for arbitrary bytes: of every reader, that it returns; of the integer network, that engine and reference
//! agree. One function a target, from bytes to a panic or none.
//!
//! They run twice. `tests/fuzz.sh` builds them with the compiler's coverage and lets libFuzzer look for bytes that break
//! them; what it finds is added to `tests/fuzz/seeds`, all of which [`seeds`](../../tests/seeds.rs) runs in every test.

mod choices;
mod integer_network;
mod lowered_network;
mod readers;

use std::sync::atomic::AtomicUsize;

/// How many networks this process has computed by engine and reference: a target that refuses all it is given finds
/// nothing.
pub static COMPUTED: AtomicUsize = AtomicUsize::new(0);

/// A function of arbitrary bytes that must not panic.
pub type Target = fn(&[u8]);

/// Every target by its name: that of its file in `tests/fuzz/fuzz_targets` and of its folder in `tests/fuzz/seeds`.
pub const TARGETS: [(&str, Target); 12] = [
    ("cifar", readers::cifar),
    ("checkpoint", readers::checkpoint),
    ("torch", readers::torch),
    ("coded", readers::coded),
    ("pickle", readers::pickle),
    ("npy", readers::npy),
    ("picture", readers::picture),
    ("config", readers::config),
    ("metadata", readers::metadata),
    ("integer_model", integer_network::model_file),
    ("integer_network", integer_network::graph),
    ("lowered_network", lowered_network::lowered),
];

/// Runs the target of this name.
///
/// # Panics
/// If there is none, or it finds something.
pub fn run(name: &str, bytes: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of this name");
    target(bytes);
}

/// An error's text is one line that says something.
fn one_line<T>(result: Result<T, impl ToString>) -> Option<T> {
    result
        .map_err(|e| {
            let text = e.to_string();
            assert!(!text.trim().is_empty() && !text.contains('\n'), "{text:?}");
        })
        .ok()
}
