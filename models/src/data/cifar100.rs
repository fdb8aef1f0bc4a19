//! CIFAR-100 in its binary format, read over a memory map.
//!
//! Photographs like CIFAR-10's in a hundred classes of twenty superclasses. A record has 3,074 bytes: the superclass
//! (`coarse_label_names.txt`), which is not used here, the class (`fine_label_names.txt`, a name a line), and the image.
//! `train.bin` holds 50,000 records, `test.bin` 10,000; files with fewer are read just as well.

use std::fs;
use std::path::{Path, PathBuf};

use super::classes::Classes;
use super::image_set::{ImageSet, RecordFormat};
use crate::{Error, Result};

/// Number of classes.
pub const CLASSES: usize = 100;
/// The folder inside the official archive.
pub const FOLDER: &str = "cifar-100-binary";
/// The training images.
pub const TRAIN: &str = "train.bin";
/// The test images.
pub const TEST: &str = "test.bin";
/// The classes' names.
pub const NAMES: &str = "fine_label_names.txt";

/// The images in the file `name` of `folder`.
///
/// # Errors
/// If it is missing or of a wrong length, has a label above 99, or the classes' names are not beside it.
pub fn open(folder: &Path, name: &str) -> Result<ImageSet> {
    let path = folder.join(name);
    if !path.exists() {
        return Err(Error::malformed(folder, format!("{name} is missing")));
    }
    let files: [PathBuf; 1] = [path];
    ImageSet::open_as(&files, RecordFormat::CIFAR100, names(folder)?)
}

/// The names in `fine_label_names.txt`.
fn names(folder: &Path) -> Result<Classes> {
    let path = folder.join(NAMES);
    let text = fs::read_to_string(&path).map_err(|e| Error::io("read", &path, e))?;
    let names: Vec<&str> = text.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
    match names.len() {
        CLASSES => Ok(Classes::new(names)),
        n => Err(Error::malformed(&path, format!("{n} names; CIFAR-100 has {CLASSES}, one a line"))),
    }
}
