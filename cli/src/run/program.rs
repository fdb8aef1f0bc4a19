//! The name under which the program was started, for the commands that it tells people to type.

use std::sync::OnceLock;

static NAME: OnceLock<&'static str> = OnceLock::new();

/// Remembers the name; the first one counts.
pub fn remember(name: &'static str) {
    NAME.get_or_init(|| name);
}

/// The name; `cli`, the package's, where nobody said.
pub fn name() -> &'static str {
    NAME.get().copied().unwrap_or("cli")
}
