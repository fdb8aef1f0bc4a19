//! Files that are written must not be those that the command reads, and their folders must be there.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::run::exit::Failure;

/// Refuses to write the file `out`, which `flag` names, over one of the `inputs`: files, or folders with everything in them.
///
/// # Errors
/// Naming both.
pub fn expect_no_input(flag: &str, out: &Path, inputs: &[&Path]) -> Result<()> {
    let Some(there) = real(out) else { return expect_folder(flag, out) }; // nothing is there
    let hit = inputs.iter().find(|input| real(input).is_some_and(|input| there.starts_with(input)));
    let Some(input) = hit else { return Ok(()) };
    let text = format!(
        "{flag} {}: is, or belongs to, {}, which this command reads; name another file",
        out.display(),
        input.display()
    );
    Err(Failure::Usage(text).into())
}

/// Refuses a file whose folder is not there: it would be missed when all is computed.
///
/// # Errors
/// Naming both.
pub fn expect_folder(flag: &str, out: &Path) -> Result<()> {
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() && !folder.is_dir() => {
            let (out, folder) = (out.display(), folder.display());
            let text = format!("{flag} {out}: there is no folder {folder}; make it, or name another file");
            Err(Failure::BadInput(text).into())
        }
        _ => Ok(()),
    }
}

/// The path without links, of something that exists.
fn real(path: &Path) -> Option<PathBuf> {
    path.canonicalize().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_not_written_over_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let (data, weights) = (dir.path().join("data"), dir.path().join("weights"));
        std::fs::create_dir(&data).unwrap();
        let (batch, new) = (data.join("test_batch.bin"), data.join("new"));
        [&weights, &batch].into_iter().for_each(|file| std::fs::write(file, "x").unwrap());
        let otherwise = data.join("../weights");
        let check = |out: &Path| expect_no_input("--out", out, &[&data, &weights]);
        for out in [&weights, &otherwise, &batch] {
            let message = check(out).unwrap_err().to_string();
            assert!(message.contains("which this command reads"), "{message}");
        }
        assert!(
            check(&new).is_ok()
                && check(&dir.path().join("other")).is_ok()
                && check(Path::new("other")).is_ok()
        );
        let message = check(&dir.path().join("nowhere/other")).unwrap_err().to_string();
        assert!(message.contains("there is no folder") && message.contains("nowhere; make it"), "{message}");
    }
}
