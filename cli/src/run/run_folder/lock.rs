//! One process at a time works in a run folder.
//!
//! The file `.lock` is held with an advisory lock of the operating system as long as the process lives. The system lets
//! go of it when the process ends, however it ends, so a lock cannot outlive its holder: no process number has to be
//! looked up, no reboot guessed. What the file *says* only names the holder to others.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::run::exit::Failure;

/// Name of the file.
const NAME: &str = ".lock";

/// A held lock; let go when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Lock {
    _file: Option<Arc<File>>,
}

impl Lock {
    /// Takes the lock of `folder`. Where the file system has no locks, nothing is held.
    ///
    /// # Errors
    /// If another process holds it, naming that process, or the file cannot be written.
    pub fn take(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let io = |e| models::Error::io("open", &path, e);
        // Not truncated before the lock is ours: until then it names the holder.
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                file.read_to_string(&mut holder).ok();
                let holder = if holder.is_empty() { "another process" } else { holder.trim() };
                let text = format!(
                    "{}: in use by {holder}; wait for it, or choose another folder",
                    folder.display()
                );
                return Err(Failure::BadInput(text).into());
            }
            Err(TryLockError::Error(_)) => return Ok(Self { _file: None }),
        }
        file.set_len(0).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        writeln!(file, "{}", this_process()).map_err(io)?;
        Ok(Self { _file: Some(Arc::new(file)) })
    }

    /// Whether `name` is the lock's file.
    pub fn is_file(name: &std::ffi::OsStr) -> bool {
        name == NAME
    }
}

/// `process 123 (cli qat --epochs 3) on host`.
fn this_process() -> String {
    let words: Vec<String> = std::env::args_os().skip(1).map(|a| a.to_string_lossy().into_owned()).collect();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = if host.trim().is_empty() { String::new() } else { format!(" on {}", host.trim()) };
    format!("process {} (cli {}){host}", std::process::id(), words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_the_first_is_and_a_dead_one_does_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let first = Lock::take(dir.path()).unwrap();
        let text = Lock::take(dir.path()).unwrap_err().to_string();
        assert!(text.contains(&format!("in use by process {}", std::process::id())), "{text}");
        drop(first);
        // What a killed process leaves: the file, with its name in it, and no lock.
        fs::write(dir.path().join(NAME), "process 1 (cli train) on elsewhere\n").unwrap();
        Lock::take(dir.path()).unwrap();
    }
}
