//! CIFAR-10 in its binary format, read over a memory map.
//!
//! Sixty thousand photographs of 32 x 32 pixels in ten classes (Krizhevsky, "Learning multiple layers of
//! features from tiny images", 2009). A file is a sequence of records of 3,073 bytes: one label byte, then
//! 1,024 red, 1,024 green and 1,024 blue bytes, each plane row by row. `data_batch_1.bin` ... `_5.bin` hold the
//! training images, `test_batch.bin` the test images, 10,000 records each. A slice of the set with fewer
//! records, or fewer training files, is read just as well.

use std::path::{Path, PathBuf};

pub use super::image_set::ImageSet;
use crate::{Error, Result};

/// Rows, and columns, of an image.
pub const SIDE: usize = 32;
/// Bytes of one colour plane.
pub const PLANE: usize = SIDE * SIDE;
/// Red, green, blue.
pub const CHANNELS: usize = 3;
/// Bytes of an image: three planes.
pub const IMAGE_BYTES: usize = CHANNELS * PLANE;
/// Bytes of a record: the label and the image.
pub const RECORD_BYTES: usize = 1 + IMAGE_BYTES;
/// Records of a file of the official set.
pub const RECORDS_PER_FILE: usize = 10_000;
/// Number of classes.
pub const CLASSES: usize = 10;
/// What the labels 0..=9 mean.
pub const CLASS_NAMES: [&str; CLASSES] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];
/// The folder inside the official archive.
pub const FOLDER: &str = "cifar-10-batches-bin";

/// Training and test images.
#[derive(Clone, Debug)]
pub struct Cifar10 {
    /// The images to learn from, in file order.
    pub train: ImageSet,
    /// The images to measure accuracy on, and nothing else.
    pub test: ImageSet,
    /// The folder the files are in.
    pub folder: PathBuf,
}

impl Cifar10 {
    /// Opens the set in `folder`, or in `folder/cifar-10-batches-bin`. Nothing is copied: images are read
    /// from the map when they are used. Lengths and all labels are checked here, so that nothing fails later.
    ///
    /// # Errors
    /// If a file is missing, of a wrong length, or has a label above 9.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder_of_batches(folder.as_ref())?;
        let train_paths: Vec<PathBuf> =
            (1..=5).map(|i| folder.join(format!("data_batch_{i}.bin"))).take_while(|p| p.exists()).collect();
        if train_paths.is_empty() {
            return Err(Error::malformed(&folder, "data_batch_1.bin is missing"));
        }
        // A file after a gap would silently shift every index behind it.
        for i in train_paths.len() + 1..=5 {
            if folder.join(format!("data_batch_{i}.bin")).exists() {
                let missing = train_paths.len() + 1;
                let detail =
                    format!("data_batch_{missing}.bin is missing though data_batch_{i}.bin is there");
                return Err(Error::malformed(&folder, detail));
            }
        }
        Ok(Self { train: ImageSet::open(&train_paths)?, test: test_images(&folder)?, folder })
    }

    /// Only the test images of the set in `folder`, which need no others, and the folder they are in.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_test(folder: impl AsRef<Path>) -> Result<(ImageSet, PathBuf)> {
        let folder = folder_of_batches(folder.as_ref())?;
        Ok((test_images(&folder)?, folder))
    }
}

fn test_images(folder: &Path) -> Result<ImageSet> {
    let path = folder.join("test_batch.bin");
    if !path.exists() {
        return Err(Error::malformed(folder, "test_batch.bin is missing"));
    }
    ImageSet::open(&[path])
}

/// The files of which one makes a folder CIFAR-10's.
pub(super) const FILES: [&str; 2] = ["data_batch_1.bin", "test_batch.bin"];

fn folder_of_batches(folder: &Path) -> Result<PathBuf> {
    if !exists(folder, folder)? {
        return Err(Error::malformed(folder, "no CIFAR-10 here: the folder does not exist"));
    }
    let detail = format!(
        "no CIFAR-10 here: expected data_batch_1.bin and test_batch.bin in it or in its folder {FOLDER}"
    );
    folder_with(folder, FOLDER, &FILES)?.ok_or_else(|| Error::malformed(folder, detail))
}

/// `folder` itself or `inner` in it, whichever holds one of these files.
pub(super) fn folder_with(folder: &Path, inner: &str, files: &[&str]) -> Result<Option<PathBuf>> {
    for candidate in [folder.to_path_buf(), folder.join(inner)] {
        for name in files {
            if exists(folder, &candidate.join(name))? {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}

/// Whether `path` in `folder` is there. Permission denied, say, is not the same as not being there.
pub(super) fn exists(folder: &Path, path: &Path) -> Result<bool> {
    path.try_exists().map_err(|e| Error::io("look into", folder, e))
}

/// The image of a record, three planes `[c][h][w]`, as pixels `[h][w][c]`.
pub fn interleave(planes: &[u8]) -> Vec<u8> {
    let plane = planes.len() / CHANNELS;
    (0..planes.len()).map(|i| planes[i % CHANNELS * plane + i / CHANNELS]).collect()
}

/// Pixels `[h][w][c]` as the image of a record: the other way round.
pub fn planes(pixels: &[u8]) -> Vec<u8> {
    (0..CHANNELS).flat_map(|c| pixels.iter().skip(c).step_by(CHANNELS).copied()).collect()
}

#[cfg(test)]
mod tests;
