//! Errors and exit codes: 0 ok, 1 the run failed, 2 usage, 3 bad input, 130 interrupted after saving.
//!
//! Every error is one line on stderr that says what, where and what to do. Its code follows from its type: a
//! [`Failure`] says it outright, the errors of the other crates are sorted by [`code`].

use std::io::ErrorKind;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Error;
use engine::nearest::nearest_file;

use crate::run::context::to_stderr;

/// An error whose exit code is known where it arises.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The run failed: it diverged, say.
    #[error("{0}")]
    Run(String),
    /// The command line asks for something that does not exist.
    #[error("{0}")]
    Usage(String),
    /// A file or folder is not what it should be.
    #[error("{0}")]
    BadInput(String),
    /// Ctrl-C; everything is saved.
    #[error("{0}")]
    Interrupted(String),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Run(_) => 1,
            Self::Usage(_) => 2,
            Self::BadInput(_) => 3,
            Self::Interrupted(_) => 130,
        }
    }
}

/// The exit code of an error: that of the first cause that has one, from the outside in.
pub fn code(error: &Error) -> u8 {
    let context = error.downcast_ref::<Failure>().map(Failure::code); // of `error.context(Failure::...)`
    context.or_else(|| error.chain().find_map(code_of)).unwrap_or(1)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.code());
    }
    if let Some(error) = cause.downcast_ref::<models::Error>() {
        return Some(match error {
            models::Error::Io { source, .. } if is_of_the_disk(source) => 1,
            models::Error::Value(_) => 2,
            models::Error::Training(_) => 1,
            models::Error::Engine(error) => engine_code(error),
            _ => 3,
        });
    }
    cause.downcast_ref::<engine::Error>().map(engine_code)
}

/// Whether the disk failed, which no other path or file would have helped: it is full, or broken.
fn is_of_the_disk(error: &std::io::Error) -> bool {
    const EIO: i32 = 5; // has no kind of its own
    let full = [ErrorKind::StorageFull, ErrorKind::QuotaExceeded, ErrorKind::FileTooLarge];
    full.contains(&error.kind()) || cfg!(unix) && error.raw_os_error() == Some(EIO)
}

fn engine_code(error: &engine::Error) -> u8 {
    match error {
        engine::Error::Unknown { .. } => 2, // a layer or parameter somebody named
        _ => 1,
    }
}

/// Prints the error as one line and returns its code.
pub fn report(error: &Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS; // `cli ... | head` has read all it wanted
    }
    let line = format!("{}{}", line(error), neighbour(error));
    match code(error) {
        130 => to_stderr(format_args!("interrupted: {line}")),
        _ => to_stderr(format_args!("error: {line}")),
    }
    ExitCode::from(code(error))
}

/// The causes, outermost first, joined by colons; a cause that the text before it ends with is not repeated.
pub fn line(error: &Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line = format!("{line}: {text}");
        }
    }
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Where a file to be read is missing: the one beside it whose name is near.
fn neighbour(error: &Error) -> String {
    let missing = error.chain().find_map(|cause| match cause.downcast_ref::<models::Error>() {
        Some(models::Error::Io { action: "open" | "read", path, source })
            if source.kind() == ErrorKind::NotFound =>
        {
            Some(path)
        }
        _ => None,
    });
    let Some(name) = missing.and_then(|path| path.file_name()?.to_str()) else { return String::new() };
    let folder = missing.and_then(|path| path.parent()).filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names.retain(|other| other != name); // a link that leads nowhere
    let near = nearest_file(name, &names.iter().map(String::as_str).collect::<Vec<_>>());
    near.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

fn is_broken_pipe(error: &Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_first_cause_with_a_code_decides() {
        let inner: Error = models::Error::malformed("w".as_ref(), "is empty").into();
        assert_eq!(code(&inner), 3);
        assert_eq!(code(&Error::new(models::Error::Value("depth 7".into()))), 2);
        let unknown = engine::Error::Unknown { kind: "layer", name: "x".into(), hint: String::new() };
        assert_eq!(code(&unknown.into()), 2);
        let io = |number| {
            let source = std::io::Error::from_raw_os_error(number);
            code(&models::Error::io("write", "w".as_ref(), source).into())
        };
        if cfg!(target_os = "linux") {
            let (eio, enospc, enoent, erofs) = (5, 28, 2, 30);
            assert_eq!([eio, enospc, enoent, erofs].map(io), [1, 1, 3, 3]);
        }
        let outer = inner.context(Failure::Run("step 3".into()));
        assert_eq!(code(&outer), 1);
        assert_eq!(code(&anyhow::anyhow!("anything")), 1);
    }

    #[test]
    fn an_error_is_one_line_without_repetitions() {
        let error: Error = Err::<(), _>(models::Error::malformed("w".as_ref(), "is\n  empty"))
            .context("loading the network")
            .unwrap_err();
        assert_eq!(line(&error), "loading the network: w: is empty");
    }
}
