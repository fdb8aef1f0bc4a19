//! The engine's errors: one line each, saying what, where and what was expected.

use crate::nearest::nearest;

/// What can go wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Two shapes do not fit together. `op` names the operation, `detail` the shapes.
    #[error("{op}: {detail}")]
    Shape {
        /// The operation that was asked for.
        op: &'static str,
        /// Which shapes met and what would have fitted.
        detail: String,
    },
    /// A value is outside the range the operation is defined on.
    #[error("{op}: {detail}")]
    Value {
        /// The operation that was asked for.
        op: &'static str,
        /// The value and the range.
        detail: String,
    },
    /// A parameter or node name that the graph does not have.
    #[error("{kind} `{name}` does not exist{hint}")]
    Unknown {
        /// `layer`, `parameter`, ...
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// Empty, or `; did you mean ...`.
        hint: String,
    },
}

impl Error {
    /// A shape error of operation `op`.
    pub fn shape(op: &'static str, detail: impl Into<String>) -> Self {
        Self::Shape { op, detail: detail.into() }
    }

    /// A value error about a name that is none of `known`; says which of them is near.
    pub fn unknown_choice(op: &'static str, what: &str, name: &str, known: &[&str]) -> Self {
        let known_names = known.join(", ");
        let detail = match nearest(name, known) {
            Some(near) => format!("unknown {what} `{name}`; did you mean `{near}`? known: {known_names}"),
            None => format!("unknown {what} `{name}`; known: {known_names}"),
        };
        Self::Value { op, detail }
    }

    /// A value error of operation `op`.
    pub fn value(op: &'static str, detail: impl Into<String>) -> Self {
        Self::Value { op, detail: detail.into() }
    }
}

/// Result of an engine operation.
pub type Result<T> = std::result::Result<T, Error>;
