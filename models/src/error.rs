//! The errors of data and checkpoints: one line each, saying what, where and what to do.

use std::path::{Path, PathBuf};

/// What can go wrong with data sets, checkpoints and networks.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused. `action` is what was tried.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `open`, `write`, ...
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or folder is not what it should be. `detail` says what was found, expected and what to do.
    #[error("{}: {detail}", path.display())]
    Malformed {
        /// The file or folder.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },
    /// A record with the label of no class.
    #[error(
        "{}: record {record} has label {label}, labels are 0..={}; is this {format} in binary format?",
        path.display(),
        classes.saturating_sub(1)
    )]
    Label {
        /// The file.
        path: PathBuf,
        /// The record, from 0.
        record: usize,
        /// The byte found there.
        label: u8,
        /// How many classes there are.
        classes: usize,
        /// The format that was expected.
        format: &'static str,
    },
    /// A checkpoint lacks a tensor of the network.
    #[error("{}: tensor `{name}` {expected} is missing; does the checkpoint belong to this network?", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's PyTorch name.
        name: String,
        /// Its shape, as on disk.
        expected: String,
    },
    /// A checkpoint has a tensor that the network has not.
    #[error("{}: tensor `{name}` {found} does not belong to this network", path.display())]
    ExtraTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape, as on disk.
        found: String,
    },
    /// A tensor of another shape than the network's.
    #[error("{}: tensor `{name}` has shape {found}, the network expects {expected}", path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Its shape, as on disk.
        found: String,
        /// The network's, as on disk.
        expected: String,
    },
    /// A NaN or infinite number among weights or samples.
    #[error("{}: `{name}` holds {value} at index {index}; every number must be finite", path.display())]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// Flat index of the first such number, as on disk.
        index: usize,
        /// The number.
        value: f64,
    },
    /// A pickle asks for something other than tensors.
    #[error(
        "{}: refuses to execute `{global}`: only tensors are read from PyTorch files, save a plain state_dict instead",
        path.display()
    )]
    Refused {
        /// The file.
        path: PathBuf,
        /// The Python object the pickle names.
        global: String,
    },
    /// An argument outside its range.
    #[error("{0}")]
    Value(String),
    /// A step of training failed: the run has diverged, say.
    #[error("training: {0}")]
    Training(Box<Error>),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl Error {
    /// The operating system's `source` on `action` of `path`.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_path_buf(), source }
    }

    /// `path` is not what it should be. A detail of several lines (another library's words) becomes one.
    pub fn malformed(path: &Path, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let words: Vec<&str> = detail.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Self::Malformed { path: path.to_path_buf(), detail: words.join(" ") }
    }
}

/// Result of an operation on data or checkpoints.
pub type Result<T, E = Error> = std::result::Result<T, E>;
