//! Files as byte slices, without reading them: the one place of this crate with `unsafe`.
#![allow(unsafe_code)]

use std::{fs::File, ops::Deref, path::Path};

use crate::{Error, Result, formats::placeholder};

/// The bytes of a file, mapped into memory and read by the page when touched; or bytes in memory.
#[derive(Debug)]
pub enum Bytes {
    /// A mapped file.
    Mapped(memmap2::Mmap),
    /// Bytes in memory (an empty file, or data made by a program).
    Owned(Vec<u8>),
}

impl Bytes {
    /// Maps a file for reading.
    ///
    /// The file must not be shortened while it is mapped (touching a page that is gone ends the process);
    /// this project never does: it replaces files whole, by renaming.
    ///
    /// # Errors
    /// If it cannot be opened or mapped, is a folder, or a [placeholder] of the file.
    pub fn map(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let meta = file.metadata().map_err(|e| Error::io("open", path, e))?;
        if meta.is_dir() {
            return Err(Error::malformed(path, "is a folder, a file is expected"));
        }
        if !meta.is_file() {
            let text = "is a device or a pipe; put what comes out of it into a file";
            return Err(Error::malformed(path, text));
        }
        if meta.len() == 0 {
            return Ok(Self::Owned(Vec::new())); // an empty file cannot be mapped
        }
        // SAFETY: the mapping is read-only and private to this value, which hands out shared slices only.
        // Another process writing to the file meanwhile would change bytes under us: all readers of this
        // crate treat the bytes as untrusted and index with bounds checks, so that no value of them is unsound.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|e| Error::io("map", path, e))?;
        placeholder::refuse(path, &map)?;
        Ok(Self::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}
