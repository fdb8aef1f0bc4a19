//! CIFAR-10 in its binary format, read over a memory map.
//!
//! Sixty thousand photographs of 32 x 32 pixels in ten classes (Krizhevsky, "Learning multiple layers of
//! features from tiny images", 2009). A file is a sequence of records of 3,073 bytes: one label byte, then
//! 1,024 red, 1,024 green and 1,024 blue bytes, each plane row by row. `data_batch_1.bin` ... `_5.bin` hold the
//! training images, `test_batch.bin` the test images, 10,000 records each. A slice of the set with fewer
//! records, or fewer training files, is read just as well.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Error, Result, formats::mmap::Bytes};

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

/// `folder` itself or its `cifar-10-batches-bin`, whichever holds batch files.
fn folder_of_batches(folder: &Path) -> Result<PathBuf> {
    // Permission denied, say: not the same as not being there.
    let exists = |path: &Path| path.try_exists().map_err(|e| Error::io("look into", folder, e));
    if !exists(folder)? {
        return Err(Error::malformed(folder, "no CIFAR-10 here: the folder does not exist"));
    }
    for candidate in [folder.to_path_buf(), folder.join(FOLDER)] {
        for name in ["data_batch_1.bin", "test_batch.bin"] {
            if exists(&candidate.join(name))? {
                return Ok(candidate);
            }
        }
    }
    let detail = format!(
        "no CIFAR-10 here: expected data_batch_1.bin and test_batch.bin in it or in its folder {FOLDER}"
    );
    Err(Error::malformed(folder, detail))
}

/// Images with labels, in a fixed order. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct ImageSet {
    files: Arc<[Records]>,
    len: usize,
}

/// One file and the number of the first of its images.
#[derive(Debug)]
struct Records {
    bytes: Bytes,
    start: usize,
}

impl ImageSet {
    /// The records of these files, one file after the other.
    ///
    /// # Errors
    /// If a file cannot be opened, has a wrong length or a label above 9.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::new();
        let mut start = 0;
        for path in paths {
            let bytes = Bytes::map(path)?;
            start += check_records(path, &bytes)?;
            files.push(Records { start: start - bytes.len() / RECORD_BYTES, bytes });
        }
        Ok(Self { files: files.into(), len: start })
    }

    /// Records in memory, checked like those of a file; `name` stands for the path in errors.
    ///
    /// # Errors
    /// If the length is wrong or a label is above 9.
    pub fn from_records(name: &str, records: Vec<u8>) -> Result<Self> {
        let len = check_records(Path::new(name), &records)?;
        Ok(Self { files: vec![Records { bytes: Bytes::Owned(records), start: 0 }].into(), len })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none (a set that was opened has at least one).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Record `index`, 3,073 bytes: the label, then the planes.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn record(&self, index: usize) -> &[u8] {
        assert!(index < self.len, "image {index} of a set of {}", self.len);
        let file = &self.files[self.files.partition_point(|f| f.start <= index) - 1];
        &file.bytes[(index - file.start) * RECORD_BYTES..][..RECORD_BYTES]
    }

    /// The raw image: planes R, G, B of 32 x 32 bytes, row by row (CHW).
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.record(index)[1..]
    }

    /// The class, 0..=9.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.record(index)[0])
    }

    /// All labels in order.
    pub fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).map(|i| self.label(i))
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> [usize; CLASSES] {
        let mut counts = [0; CLASSES];
        self.labels().for_each(|label| counts[label] += 1);
        counts
    }
}

/// Checks length and labels; returns the number of records.
fn check_records(path: &Path, bytes: &[u8]) -> Result<usize> {
    let (records, rest) = (bytes.len() / RECORD_BYTES, bytes.len() % RECORD_BYTES);
    let full = RECORDS_PER_FILE * RECORD_BYTES;
    if bytes.is_empty() {
        let detail = format!(
            "is empty; expected records of {RECORD_BYTES} bytes, {full} bytes in a complete CIFAR-10 file"
        );
        return Err(Error::malformed(path, detail));
    }
    if bytes.len() > full {
        let detail = format!(
            "{} bytes are too many: a CIFAR-10 file has at most {full} ({RECORDS_PER_FILE} records of {RECORD_BYTES})",
            bytes.len()
        );
        return Err(Error::malformed(path, detail));
    }
    if rest != 0 {
        let detail = format!(
            "{} bytes are not whole records of {RECORD_BYTES}: {records} records need {}, {} need {}; \
             truncated? a complete CIFAR-10 file has {full}",
            bytes.len(),
            records * RECORD_BYTES,
            records + 1,
            (records + 1) * RECORD_BYTES,
        );
        return Err(Error::malformed(path, detail));
    }
    for (record, label) in bytes.iter().step_by(RECORD_BYTES).copied().enumerate() {
        if usize::from(label) >= CLASSES {
            return Err(Error::Label { path: path.to_path_buf(), record, label });
        }
    }
    Ok(records)
}

/// The image of a record, three planes `[c][h][w]`, as pixels `[h][w][c]`.
pub fn interleave(planes: &[u8]) -> Vec<u8> {
    let plane = planes.len() / CHANNELS;
    (0..planes.len()).map(|i| planes[i % CHANNELS * plane + i / CHANNELS]).collect()
}

#[cfg(test)]
mod tests;
