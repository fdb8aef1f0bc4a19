//! Images of 32 x 32 pixels with labels, in the records in which CIFAR's files have them.
//!
//! A record is one or two label bytes, the last of which is the class, then 1,024 red, 1,024 green and 1,024 blue bytes,
//! each plane row by row. Files are mapped, not read; pictures that were decoded are records in memory.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::cifar10::IMAGE_BYTES;
use super::classes::Classes;
use crate::{Error, Result, formats::mmap::Bytes};

/// How records are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordFormat {
    /// The format's name.
    pub name: &'static str,
    /// Bytes before the image; the last of them is the class.
    pub label_bytes: usize,
    /// The most records of a file.
    pub most: usize,
}

impl RecordFormat {
    /// CIFAR-10: the class, then the image.
    pub const CIFAR10: Self = Self { name: "CIFAR-10", label_bytes: 1, most: 10_000 };
    /// CIFAR-100: the superclass, the class, then the image.
    pub const CIFAR100: Self = Self { name: "CIFAR-100", label_bytes: 2, most: 50_000 };

    /// Bytes of a record.
    pub const fn record_bytes(self) -> usize {
        self.label_bytes + IMAGE_BYTES
    }
}

/// Images with labels, in a fixed order. Cloning shares the bytes.
#[derive(Clone, Debug)]
pub struct ImageSet {
    files: Arc<[Records]>,
    len: usize,
    format: RecordFormat,
    classes: Classes,
}

/// One file and the number of the first of its images.
#[derive(Debug)]
struct Records {
    bytes: Bytes,
    start: usize,
}

impl ImageSet {
    /// The records of these files of CIFAR-10, one file after the other.
    ///
    /// # Errors
    /// If a file cannot be opened, has a wrong length or a label above 9.
    pub fn open(paths: &[PathBuf]) -> Result<Self> {
        Self::open_as(paths, RecordFormat::CIFAR10, Classes::cifar10())
    }

    /// The records of these files, one file after the other, in this format and with these classes.
    ///
    /// # Errors
    /// If a file cannot be opened, has a wrong length or the label of no class.
    pub fn open_as(paths: &[PathBuf], format: RecordFormat, classes: Classes) -> Result<Self> {
        let mut files = Vec::new();
        let mut start = 0;
        for path in paths {
            let bytes = Bytes::map(path)?;
            let records = check_records(path, &bytes, format, &classes)?;
            files.push(Records { start, bytes });
            start += records;
        }
        Ok(Self { files: files.into(), len: start, format, classes })
    }

    /// Records of CIFAR-10 in memory, checked like those of a file; `name` stands for the path in errors.
    ///
    /// # Errors
    /// If the length is wrong or a label is above 9.
    pub fn from_records(name: &str, records: Vec<u8>) -> Result<Self> {
        Self::in_memory(name, records, RecordFormat::CIFAR10, Classes::cifar10())
    }

    /// Records like CIFAR-10's in memory, of any classes and of any number.
    ///
    /// # Errors
    /// If the length is wrong or a label is that of no class.
    pub fn from_classes(name: &str, records: Vec<u8>, classes: Classes) -> Result<Self> {
        let format =
            RecordFormat { most: usize::MAX / RecordFormat::CIFAR10.record_bytes(), ..RecordFormat::CIFAR10 };
        Self::in_memory(name, records, format, classes)
    }

    fn in_memory(name: &str, records: Vec<u8>, format: RecordFormat, classes: Classes) -> Result<Self> {
        let len = check_records(Path::new(name), &records, format, &classes)?;
        let files = vec![Records { bytes: Bytes::Owned(records), start: 0 }].into();
        Ok(Self { files, len, format, classes })
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none (a set that was opened has at least one).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What the labels mean.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Record `index`: the labels, then the planes.
    ///
    /// # Panics
    /// If there is no such record.
    pub fn record(&self, index: usize) -> &[u8] {
        assert!(index < self.len, "image {index} of a set of {}", self.len);
        let file = &self.files[self.files.partition_point(|f| f.start <= index) - 1];
        let bytes = self.format.record_bytes();
        &file.bytes[(index - file.start) * bytes..][..bytes]
    }

    /// The raw image: planes R, G, B of 32 x 32 bytes, row by row (CHW).
    ///
    /// # Panics
    /// If there is no such image.
    pub fn image(&self, index: usize) -> &[u8] {
        &self.record(index)[self.format.label_bytes..]
    }

    /// The class, a number below that of the classes.
    ///
    /// # Panics
    /// If there is no such image.
    pub fn label(&self, index: usize) -> usize {
        usize::from(self.record(index)[self.format.label_bytes - 1])
    }

    /// All labels in order.
    pub fn labels(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.len).map(|i| self.label(i))
    }

    /// How many images each class has.
    pub fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.classes.len()];
        self.labels().for_each(|label| counts[label] += 1);
        counts
    }
}

/// Checks length and labels; returns the number of records.
fn check_records(path: &Path, bytes: &[u8], format: RecordFormat, classes: &Classes) -> Result<usize> {
    let RecordFormat { name, label_bytes, most } = format;
    let record = format.record_bytes();
    let (records, rest) = (bytes.len() / record, bytes.len() % record);
    let full = most * record;
    if bytes.is_empty() {
        let detail =
            format!("is empty; expected records of {record} bytes, at most {full} bytes in a {name} file");
        return Err(Error::malformed(path, detail));
    }
    if bytes.len() > full {
        let detail = format!(
            "{} bytes are too many: a {name} file has at most {full} ({most} records of {record})",
            bytes.len()
        );
        return Err(Error::malformed(path, detail));
    }
    if rest != 0 {
        let detail = format!(
            "{} bytes are not whole records of {record}: {records} records need {}, {} need {}; truncated? a {name} \
             file has at most {full}",
            bytes.len(),
            records * record,
            records + 1,
            (records + 1) * record,
        );
        return Err(Error::malformed(path, detail));
    }
    for (record, label) in bytes.iter().skip(label_bytes - 1).step_by(record).copied().enumerate() {
        if usize::from(label) >= classes.len() {
            let path = path.to_path_buf();
            return Err(Error::Label { path, record, label, classes: classes.len(), format: name });
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_cifars_own_classes_may_be_more_than_one_of_its_files_holds() {
        let records = vec![0; (RecordFormat::CIFAR10.most + 1) * RecordFormat::CIFAR10.record_bytes()];
        let set = ImageSet::from_classes("pictures", records.clone(), Classes::cifar10()).unwrap();
        assert_eq!(set.len(), 10_001);
        let error = ImageSet::from_records("data_batch_1.bin", records).unwrap_err().to_string();
        assert!(error.contains("too many"), "{error}");
    }
}
