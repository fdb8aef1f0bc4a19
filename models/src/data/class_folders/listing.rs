//! What lies in a folder, sorted by name, without what systems leave there unasked.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data::picture::Format;
use crate::{Error, Result};

/// Folders that divide the pictures, where there are some.
pub(super) const PARTS: [&str; 3] = ["train", "test", "val"];

/// Whether this is the name of a file that a system leaves in folders of pictures: Windows' two, and whatever begins with a
/// dot.
pub fn is_left_behind(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
        || ["Thumbs.db", "desktop.ini"].iter().any(|known| name == *known)
}

/// Files and folders of a folder.
pub(super) struct Listing {
    folder: PathBuf,
    /// Names and paths.
    pub(super) folders: Vec<(String, PathBuf)>,
    files: Vec<PathBuf>,
}

impl Listing {
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let io = |e| Error::io("read", folder, e);
        let (mut folders, mut files) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(folder).map_err(io)? {
            let (path, name) = { entry }.map(|entry| (entry.path(), entry.file_name())).map_err(io)?;
            if is_left_behind(&name) {
                continue;
            }
            let Some(name) = name.to_str() else {
                return Err(Error::malformed(&path, "the name is not valid UTF-8; rename it"));
            };
            if path.is_dir() { folders.push((name.to_owned(), path)) } else { files.push(path) }
        }
        folders.sort();
        files.sort();
        Ok(Self { folder: folder.to_path_buf(), folders, files })
    }

    /// The folder of this name.
    pub(super) fn folder(&self, name: &str) -> Option<&Path> {
        self.folders.iter().find(|(known, _)| known == name).map(|(_, path)| path.as_path())
    }

    /// Whether `train` is a part of the data set and no class that is called so: it has folders inside.
    pub(super) fn has_parts(&self) -> Result<bool> {
        self.folder("train").map_or(Ok(false), |train| Ok(!Self::of(train)?.folders.is_empty()))
    }

    /// Refuses pictures that lie where only folders belong.
    pub(super) fn expect_no_pictures(&self) -> Result<()> {
        for path in &self.files {
            if is_picture(path)? {
                let detail = "is a picture outside the class folders; move it into the folder of its class";
                return Err(Error::malformed(path, detail));
            }
        }
        Ok(())
    }

    /// The pictures of a class folder, which holds nothing else.
    pub(super) fn into_pictures(self) -> Result<Vec<PathBuf>> {
        if let Some((_, path)) = self.folders.first() {
            let detail =
                "is a folder inside a class folder; the pictures of a class lie directly in its folder";
            return Err(Error::malformed(path, detail));
        }
        if self.files.is_empty() {
            let detail =
                "holds no pictures; put PNG, JPEG or PPM files of this class into it, or remove the folder";
            return Err(Error::malformed(&self.folder, detail));
        }
        for path in &self.files {
            if !is_picture(path)? {
                let detail = "is not a PNG, JPEG or PPM picture; a class folder holds nothing else";
                return Err(Error::malformed(path, detail));
            }
        }
        Ok(self.files)
    }
}

/// Whether the file begins like a picture.
fn is_picture(path: &Path) -> Result<bool> {
    let mut head = Vec::new();
    let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
    file.take(8).read_to_end(&mut head).map_err(|e| Error::io("read", path, e))?;
    Ok(Format::detect(&head).is_some())
}
