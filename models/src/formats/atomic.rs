//! Files that are written whole or not at all.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::Path,
};

use crate::{Error, Result};

/// Replaces the file at `path` by `bytes` in one step: the bytes go to a temporary name in the same folder,
/// are flushed to the disk (`fsync`), and the temporary file is renamed. Whoever opens `path`, at any time and
/// after any crash, finds the old contents or the new, never a part. Nothing is left behind on failure. Of a link, the file that
/// it leads to is replaced.
///
/// # Errors
/// If the folder does not exist or cannot be written to, the disk is full, or something is at `path` that would be no file
/// any more: a device, a pipe. Where only the last step fails, flushing
/// the new name, the file is the new one already; after a power cut it may be the old one again.
pub fn write(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    // Of a link, the file that it leads to: the link stays one.
    let behind = fs::symlink_metadata(&path).is_ok_and(|m| m.is_symlink()).then(|| fs::canonicalize(&path));
    let behind = behind.and_then(std::result::Result::ok);
    let path = behind.as_deref().unwrap_or(path.as_ref());
    let Some(file_name) = path.file_name() else {
        return Err(Error::malformed(path, "is not a file name"));
    };
    if fs::metadata(path).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        let text = "is a device or a pipe, which a file would take the place of; give the name of a file";
        return Err(Error::malformed(path, text));
    }
    let mut name = OsString::from(".");
    name.push(file_name);
    name.push(format!(".{}.partial", std::process::id()));
    let partial = path.with_file_name(name);
    let result = (|| {
        let mut file = File::create(&partial)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&partial, path)?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        flush_folder(folder)
    })();
    result.map_err(|e| {
        fs::remove_file(&partial).ok();
        Error::io("write", path, e)
    })
}

/// Flushes the names in a folder, so that a new one survives a power cut too. Not every system can open folders, and not
/// every file system can flush them; one that tries and fails is an error.
fn flush_folder(folder: &Path) -> std::io::Result<()> {
    let Ok(folder) = File::open(folder) else { return Ok(()) };
    match folder.sync_all() {
        Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaces_the_file_and_leaves_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        write(&path, b"old").unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn folders_that_cannot_be_written_to_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, b"").unwrap();
        for folder in [dir.path().join("absent"), file] {
            let message = write(folder.join("model"), b"x").unwrap_err().to_string();
            assert!(message.contains("cannot write") && message.contains("model"), "{message}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let message = write(&socket, b"x").unwrap_err().to_string();
        assert!(message.contains("is a device or a pipe"), "{message}");
        assert!(!fs::metadata(&socket).unwrap().is_file() && fs::read_dir(dir.path()).unwrap().count() == 1);
    }

    #[cfg(unix)]
    #[test]
    fn a_read_only_folder_is_an_error() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
        if File::create(dir.path().join("probe")).is_ok() {
            eprintln!("SKIPPED: this user may write to read-only folders");
            return;
        }
        let message = write(dir.path().join("model"), b"x").unwrap_err().to_string();
        assert!(message.contains("cannot write") && message.contains("ermission"), "{message}");
    }
}
