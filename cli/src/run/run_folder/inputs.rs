//! The files a run began with: their sizes and checksums stand in the run's folder, and a resumed run must find the same.
//!
//! A run continues to the bits of an undisturbed one only from the same weights and images. Others under the same name
//! would go on without a word, and the report would set the new files' figures beside the old run's.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use models::data::cifar100;
use models::data::class_folders::is_left_behind;
use models::data::data_set::holds_records;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::run::exit::Failure;

/// Name of the file in a run folder.
pub const NAME: &str = "inputs.json";
/// The role of a recipe, the one file that may be missing: the cell of a table goes by the flags then. That it was missing is
/// noted as contents would be, for a recipe that comes later makes another cell.
pub const RECIPE: &str = "recipe";

/// One file that the run reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// What it is to the run: `weights`, `data`, ...
    pub role: String,
    /// Where it was.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Its checksum, in hexadecimal digits; empty of a recipe that was missing.
    pub sha256: String,
}

impl InputFile {
    /// Reads the file at `path`; a folder stands for its files of [records](holds_records) and the names of their classes, in the
    /// order of the files' names, or, if there are none, for everything in it and in the folders in it, together.
    ///
    /// # Errors
    /// If something cannot be read.
    pub fn all(role: &str, path: &Path) -> Result<Vec<Self>> {
        if role == RECIPE && !path.is_file() {
            let (role, path) = (role.to_owned(), path.to_path_buf());
            return Ok(vec![Self { role, path, bytes: 0, sha256: String::new() }]);
        }
        if !path.is_dir() {
            return Ok(vec![Self::file(role, path)?]);
        }
        if !holds_records(path) {
            return Ok(vec![Self::tree(role, path)?]);
        }
        let entries = fs::read_dir(path).map_err(|e| models::Error::io("read", path, e))?;
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.ends_with(cifar100::NAMES) || is_of_records(file));
        files.sort();
        files.iter().map(|file| Self::file(role, file)).collect()
    }

    /// All files of a folder: the checksum is of their names, sizes and contents, in the order of the names. What systems leave
    /// there unasked is passed over.
    fn tree(role: &str, folder: &Path) -> Result<Self> {
        let (mut digest, mut bytes, mut places) = (Sha256::new(), 0, vec![folder.to_path_buf()]);
        while let Some(place) = places.pop() {
            let read = || -> io::Result<Vec<PathBuf>> {
                fs::read_dir(&place)?.map(|entry| Ok(entry?.path())).collect()
            };
            let mut entries = read().map_err(|e| models::Error::io("read", &place, e))?;
            entries.retain(|path| !path.file_name().is_some_and(is_left_behind));
            entries.sort();
            let (folders, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
            for path in files {
                let contents = fs::read(&path).map_err(|e| models::Error::io("read", &path, e))?;
                let name = path.strip_prefix(folder).unwrap_or(&path);
                digest.update(format!("{}\n{}\n", name.to_string_lossy(), contents.len()));
                digest.update(&contents);
                bytes += contents.len() as u64;
            }
            places.extend(folders);
        }
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_path_buf());
        Ok(Self { role: role.to_owned(), path, bytes, sha256 })
    }

    fn file(role: &str, path: &Path) -> Result<Self> {
        let mut digest = Sha256::new();
        let read = || -> io::Result<u64> { io::copy(&mut File::open(path)?, &mut digest) };
        let bytes = { read }().map_err(|e| models::Error::io("read", path, e))?;
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
        Ok(Self { role: role.to_owned(), path, bytes, sha256 })
    }

    /// `1096123 bytes, SHA-256 0123456789ab`.
    fn description(&self) -> String {
        if self.sha256.is_empty() {
            return "none".into();
        }
        let digits: String = self.sha256.chars().take(12).collect(); // the file may hold anything
        format!("{} bytes, SHA-256 {digits}", self.bytes)
    }
}

/// Whether a file is one of records, by its ending.
fn is_of_records(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "bin")
}

/// Compares what a run began with to what is there now; `cannot` says what comes of a difference.
///
/// # Errors
/// Naming the first file that differs, and how.
pub fn check(cannot: &str, before: &[InputFile], now: &[InputFile]) -> Result<()> {
    let name = |input: &InputFile| (input.role.clone(), input.path.file_name().map(ToOwned::to_owned));
    // What the run needs no more (the file of `--init`, once there is a state) is not asked for.
    let needed = |old: &&InputFile| now.iter().any(|new| new.role == old.role);
    for old in before.iter().filter(needed) {
        let new = now.iter().find(|new| name(new) == name(old)).or_else(|| {
            // A single file may have been renamed.
            let mut of_role = now.iter().filter(|new| new.role == old.role);
            of_role.next().filter(|_| of_role.next().is_none())
        });
        let what = match new {
            Some(new) if (new.bytes, &new.sha256) == (old.bytes, &old.sha256) => continue,
            Some(new) => format!(
                "{} ({}) is not the file that the run began with: {} now, {} then",
                new.path.display(),
                old.role,
                new.description(),
                old.description()
            ),
            None => format!("{} ({}), with which the run began, is gone", old.path.display(), old.role),
        };
        let advice = if old.sha256.is_empty() { "take it away" } else { "put it back" };
        return Err(Failure::BadInput(format!("{cannot}: {what}; {advice}, or start a new run")).into());
    }
    let count = |all: &[InputFile], role: &str| all.iter().filter(|input| input.role == role).count();
    let added = now.iter().find(|new| {
        let then = count(before, &new.role);
        // Names of classes were not kept until there was a need for it, so that a run of then has fewer.
        !new.path.ends_with(cifar100::NAMES)
            && then > 0
            && count(now, &new.role) > then
            && before.iter().all(|old| name(old) != name(new))
    });
    match added {
        Some(new) => Err(Failure::BadInput(format!(
            "{cannot}: {} ({}) was not there when the run began; take it away, or start a new run",
            new.path.display(),
            new.role
        ))
        .into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &[InputFile], now: &[InputFile]) -> Result<()> {
        super::check("cannot resume", before, now)
    }

    #[test]
    fn a_moved_file_is_the_same_and_a_changed_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::write(path("w.pt"), b"abc").unwrap();
        let before = InputFile::all("weights", &path("w.pt")).unwrap();
        assert_eq!(before[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        fs::rename(path("w.pt"), path("moved.pt")).unwrap();
        check(&before, &InputFile::all("weights", &path("moved.pt")).unwrap()).unwrap();
        fs::write(path("moved.pt"), b"abd").unwrap();
        let text =
            check(&before, &InputFile::all("weights", &path("moved.pt")).unwrap()).unwrap_err().to_string();
        assert!(
            text.contains("moved.pt (weights) is not the file") && text.contains("3 bytes, SHA-256 ba7816bf"),
            "{text}"
        );
    }

    #[test]
    fn a_recipe_that_comes_or_goes_is_another_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qat_w4a4_sawb.toml");
        let now = || InputFile::all(RECIPE, &path).unwrap();
        let without = now();
        check(&without, &now()).unwrap();
        fs::write(&path, "").unwrap();
        let with = now();
        for (before, now, text) in
            [(&without, &with, "SHA-256 e3b0c44298fc now, none then"), (&with, &without, "none now")]
        {
            let error = check(before, now).unwrap_err().to_string();
            assert!(error.contains("qat_w4a4_sawb.toml (recipe)") && error.contains(text), "{error}");
        }
    }

    #[test]
    fn a_folder_stands_for_its_records() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.bin", "test_batch.bin", "readme.txt", cifar100::NAMES] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let before = InputFile::all("data", dir.path()).unwrap();
        assert_eq!(before.len(), 3);
        fs::remove_file(dir.path().join("b.bin")).unwrap();
        fs::write(dir.path().join("c.bin"), "c").unwrap();
        let text = check(&before, &InputFile::all("data", dir.path()).unwrap()).unwrap_err().to_string();
        assert!(text.contains("b.bin (data), with which the run began, is gone"), "{text}");
        fs::write(dir.path().join("b.bin"), "b.bin").unwrap();
        let text = check(&before, &InputFile::all("data", dir.path()).unwrap()).unwrap_err().to_string();
        assert!(text.contains("c.bin (data) was not there when the run began"), "{text}");
        fs::remove_file(dir.path().join("c.bin")).unwrap();
        fs::write(dir.path().join(cifar100::NAMES), "other names").unwrap();
        let text = check(&before, &InputFile::all("data", dir.path()).unwrap()).unwrap_err().to_string();
        assert!(text.contains("fine_label_names.txt (data) is not the file"), "{text}");
        let old: Vec<_> = before.iter().filter(|file| is_of_records(&file.path)).cloned().collect();
        check(&old, &InputFile::all("data", dir.path()).unwrap()).unwrap();
    }

    #[test]
    fn a_folder_of_folders_is_one_whole() {
        let dir = tempfile::tempdir().unwrap();
        for class in ["a", "b"] {
            fs::create_dir(dir.path().join(class)).unwrap();
            fs::write(dir.path().join(class).join("1.png"), class).unwrap();
        }
        let all = || InputFile::all("data", dir.path()).unwrap();
        let before = all();
        assert_eq!((before.len(), before[0].bytes), (1, 2));
        fs::write(dir.path().join("labels.bin"), "x").unwrap();
        assert!(check(&before, &all()).is_err(), "a file of this ending does not make records of pictures");
        fs::remove_file(dir.path().join("labels.bin")).unwrap();
        for name in [".hidden", "a/Thumbs.db", "desktop.ini"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        check(&before, &all()).unwrap();
        fs::rename(dir.path().join("a/1.png"), dir.path().join("b/2.png")).unwrap();
        assert!(check(&before, &all()).unwrap_err().to_string().contains("is not the file"));
    }
}
