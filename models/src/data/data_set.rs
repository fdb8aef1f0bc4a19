//! A data set of any kind, told apart by what is in its folder.
//!
//! | in the folder | it is | labels |
//! |---|---|---|
//! | `data_batch_1.bin`, ..., `test_batch.bin` (or `cifar-10-batches-bin` with them) | [CIFAR-10](super::cifar10) | its ten |
//! | `train.bin`, `test.bin`, `fine_label_names.txt` (or `cifar-100-binary` with them) | [CIFAR-100](super::cifar100) | its hundred |
//! | folders with pictures | [class folders](super::class_folders) | the folders' names, in the alphabet's order |

use std::path::{Path, PathBuf};

use super::augment::Normalization;
use super::cifar10::{self, Cifar10};
use super::cifar100;
use super::class_folders::ClassFolders;
use super::classes::Classes;
use super::image_set::ImageSet;
use crate::{Error, Result};

/// What a data set is stored as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Records of CIFAR-10.
    Cifar10,
    /// Records of CIFAR-100.
    Cifar100,
    /// A folder of pictures for each class.
    ClassFolders,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The images to learn from.
    Train,
    /// Images to choose on, kept apart from both others; only class folders have them, and only where they are asked for.
    Val,
    /// The images to measure accuracy on, and nothing else.
    Test,
}

/// Training and test images.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The images to learn from.
    pub train: ImageSet,
    /// The images to measure accuracy on, and nothing else.
    pub test: ImageSet,
    /// The folder the files are in.
    pub folder: PathBuf,
    /// What it is stored as.
    pub kind: Kind,
}

impl DataSet {
    /// Opens the data set in `folder`. Records are mapped; pictures are decoded, and `report` is told how many of how many
    /// are done.
    ///
    /// # Errors
    /// If there is none, or a file of it is missing or damaged.
    pub fn open(folder: impl AsRef<Path>, report: &mut dyn FnMut(usize, usize)) -> Result<Self> {
        let (kind, folder) = find(folder.as_ref())?;
        let (train, test) = match kind {
            Kind::Cifar10 => {
                let Cifar10 { train, test, .. } = Cifar10::open(&folder)?;
                (train, test)
            }
            Kind::Cifar100 => {
                (cifar100::open(&folder, cifar100::TRAIN)?, cifar100::open(&folder, cifar100::TEST)?)
            }
            Kind::ClassFolders => {
                let found = ClassFolders::find(&folder)?;
                (found.read(Part::Train, report)?, found.read(Part::Test, report)?)
            }
        };
        Ok(Self { train, test, folder, kind })
    }

    /// Only a part of the data set in `folder`, which needs no other, and the folder its files are in.
    ///
    /// # Errors
    /// As [`open`](Self::open), or if there is no such part.
    pub fn open_part(
        folder: impl AsRef<Path>,
        part: Part,
        report: &mut dyn FnMut(usize, usize),
    ) -> Result<(ImageSet, PathBuf)> {
        let (kind, folder) = find(folder.as_ref())?;
        let set = match (kind, part) {
            (Kind::Cifar10, Part::Test) => Cifar10::open_test(&folder)?.0,
            (Kind::Cifar10, Part::Train) => Cifar10::open(&folder)?.train,
            (Kind::Cifar100, Part::Test) => cifar100::open(&folder, cifar100::TEST)?,
            (Kind::Cifar100, Part::Train) => cifar100::open(&folder, cifar100::TRAIN)?,
            (Kind::Cifar10 | Kind::Cifar100, Part::Val) => {
                let detail =
                    "has training and test images only; a folder of class folders can have validation images";
                return Err(Error::malformed(&folder, detail));
            }
            (Kind::ClassFolders, part) => ClassFolders::find(&folder)?.read(part, report)?,
        };
        Ok((set, folder))
    }

    /// What the labels mean.
    pub fn classes(&self) -> &Classes {
        self.train.classes()
    }

    /// What a network that is trained on it from scratch expects of its images: the course's numbers for CIFAR-10, else
    /// what the training images `indices` have.
    pub fn normalization(&self, indices: impl Iterator<Item = usize>) -> Normalization {
        match self.kind {
            Kind::Cifar10 => Normalization::default(),
            Kind::Cifar100 | Kind::ClassFolders => Normalization::of(&self.train, indices),
        }
    }
}

/// Whether the files of a data set in `folder` are records of CIFAR-10 or CIFAR-100, and not pictures in folders of classes.
pub fn holds_records(folder: &Path) -> bool {
    let files = cifar10::FILES.into_iter().chain([cifar100::TRAIN, cifar100::TEST]);
    files.map(|file| folder.join(file)).any(|file| file.exists())
}

/// What a data set is stored as, and the folder of its files.
fn find(folder: &Path) -> Result<(Kind, PathBuf)> {
    if !cifar10::exists(folder, folder)? {
        return Err(Error::malformed(folder, "no data set here: the folder does not exist"));
    }
    if !folder.is_dir() {
        return Err(Error::malformed(folder, "is a file; a data set is a folder"));
    }
    let ten = cifar10::folder_with(folder, cifar10::FOLDER, &cifar10::FILES)?;
    let hundred = cifar10::folder_with(folder, cifar100::FOLDER, &[cifar100::TRAIN, cifar100::TEST])?;
    match (ten, hundred) {
        (Some(ten), Some(hundred)) => {
            let (ten, hundred) = (ten.display(), hundred.display());
            let detail =
                format!("holds CIFAR-10 ({ten}) and CIFAR-100 ({hundred}); give a folder that holds one");
            Err(Error::malformed(folder, detail))
        }
        (Some(ten), None) => Ok((Kind::Cifar10, ten)),
        (None, Some(hundred)) => Ok((Kind::Cifar100, hundred)),
        (None, None) => Ok((Kind::ClassFolders, folder.to_path_buf())),
    }
}
