//! A small, class-balanced slice of CIFAR-10 in the standard format, to be shipped with the program.
//!
//! The choice needs no random numbers, so that anybody can check it: the first `k` images of each class in
//! the original order, without the images of an exclusion list, written in the original order. Training
//! images come from the training files and test images from the test file, never across.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::{
    Error, Result,
    data::cifar10::{CLASS_NAMES, CLASSES, Cifar10, ImageSet, RECORDS_PER_FILE},
    formats::atomic,
};

/// Images that are left out.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exclusions {
    /// Training images, counted over all files in their order: `10000 (batch - 1) + row` in the original set.
    #[serde(default, rename = "train_not_lossless")]
    pub train: Vec<usize>,
    /// Test images: the row.
    #[serde(default, rename = "test_not_lossless")]
    pub test: Vec<usize>,
}

impl Exclusions {
    /// Reads `{"train_not_lossless": [..], "test_not_lossless": [..]}`.
    ///
    /// # Errors
    /// If the file cannot be read or is something else.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = fs::read_to_string(path).map_err(|e| Error::io("read", path, e))?;
        serde_json::from_str(&text).map_err(|e| {
            let detail = format!("not a list of images to leave out, {{\"train_not_lossless\": [..], \"test_not_lossless\": [..]}} ({e})");
            Error::malformed(path, detail)
        })
    }
}

/// The first `per_class` images of every class that are not excluded, in the set's order.
///
/// # Errors
/// If a class has fewer, or an image that is excluded is not there.
pub fn choose(set: &ImageSet, per_class: usize, excluded: &[usize]) -> Result<Vec<usize>> {
    if let Some(absent) = excluded.iter().find(|&&index| index >= set.len()) {
        let detail =
            format!("image {absent} is to be left out, but the last of its part is {}", set.len() - 1);
        return Err(Error::Value(detail));
    }
    let mut counts = [0; CLASSES];
    let mut chosen = Vec::with_capacity(CLASSES * per_class);
    for (index, label) in set.labels().enumerate() {
        if counts[label] < per_class && !excluded.contains(&index) {
            counts[label] += 1;
            chosen.push(index);
        }
    }
    match (0..CLASSES).find(|&class| counts[class] < per_class) {
        Some(class) => Err(Error::Value(format!(
            "{per_class} images per class: the set has only {} of class {class} ({})",
            counts[class], CLASS_NAMES[class]
        ))),
        None => Ok(chosen),
    }
}

/// Writes `data_batch_1.bin`, `test_batch.bin` and `batches.meta.txt` into `folder` (made if absent) with so many
/// training and test images per class. The result opens like the whole set.
///
/// # Errors
/// If a class has too few images, more than 10,000 are asked for, or `folder` cannot be written to.
pub fn write(
    source: &Cifar10,
    folder: impl AsRef<Path>,
    train_per_class: usize,
    test_per_class: usize,
    excluded: &Exclusions,
) -> Result<()> {
    let folder = folder.as_ref();
    for per_class in [train_per_class, test_per_class] {
        let most = RECORDS_PER_FILE / CLASSES;
        if !(1..=most).contains(&per_class) {
            return Err(Error::Value(format!("{per_class} images per class: 1..={most} fit into one file")));
        }
    }
    let train = choose(&source.train, train_per_class, &excluded.train)?;
    let test = choose(&source.test, test_per_class, &excluded.test)?;
    fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
    for (name, set, chosen) in
        [("data_batch_1.bin", &source.train, train), ("test_batch.bin", &source.test, test)]
    {
        let records: Vec<u8> = chosen.iter().flat_map(|&i| set.record(i)).copied().collect();
        atomic::write(folder.join(name), &records)?;
    }
    let names: String = CLASS_NAMES.iter().map(|name| format!("{name}\n")).collect();
    atomic::write(folder.join("batches.meta.txt"), names.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::cifar10::RECORD_BYTES;

    /// 40 records, labels 0..=9 over and over, the second byte numbering them.
    fn source(folder: &Path) -> Cifar10 {
        let mut bytes = vec![0; 40 * RECORD_BYTES];
        for (i, record) in bytes.chunks_mut(RECORD_BYTES).enumerate() {
            (record[0], record[1]) = ((i % 10) as u8, i as u8);
        }
        fs::write(folder.join("data_batch_1.bin"), &bytes).unwrap();
        fs::write(folder.join("test_batch.bin"), &bytes[..20 * RECORD_BYTES]).unwrap();
        Cifar10::open(folder).unwrap()
    }

    #[test]
    fn takes_the_first_of_each_class_but_the_excluded() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path());
        let out = dir.path().join("a/slice");
        write(&source, &out, 2, 1, &Exclusions { train: vec![3, 23], test: vec![0] }).unwrap();
        let slice = Cifar10::open(&out).unwrap();
        let numbers = |set: &ImageSet| (0..set.len()).map(|i| set.image(i)[0]).collect::<Vec<_>>();
        let mut expected: Vec<u8> = (0..20).filter(|i| *i != 3).collect();
        expected.push(33); // the third of class 3
        assert_eq!(numbers(&slice.train), expected);
        assert_eq!(numbers(&slice.test), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(slice.train.class_counts(), [2; 10]);
        assert_eq!(slice.test.class_counts(), [1; 10]);
    }

    #[test]
    fn too_few_images_and_bad_lists_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(dir.path());
        let out = dir.path().join("slice");
        let none = Exclusions::default();
        let message = |train, test| write(&source, &out, train, test, &none).unwrap_err().to_string();
        assert!(message(5, 1).contains("only 4 of class 0 (airplane)"));
        assert!(message(0, 1).contains("1..=1000 fit"));
        assert!(message(1, 1001).contains("1..=1000 fit"));
        assert!(!out.exists());
        let list = dir.path().join("list.json");
        fs::write(&list, "[1, 2]").unwrap();
        assert!(Exclusions::read(&list).unwrap_err().to_string().contains("not a list of images"));
        let file = dir.path().join("data_batch_1.bin");
        assert!(write(&source, &file, 1, 1, &none).unwrap_err().to_string().contains("cannot create"));
    }
}
