//! A user's own pictures: a folder for each class, named for it, with PNG, JPEG or PNM pictures of any size.
//!
//! ```text
//! animals/                    or, if the pictures are divided already,        animals/
//!     cat/    a.jpg b.png                                                         train/  cat/ dog/
//!     dog/    c.jpg ...                                                           test/   cat/ dog/
//!     split.json (if wanted)                                                      val/    cat/ dog/  (if wanted)
//! ```
//!
//! Every picture becomes one of 32 x 32 pixels as [`picture::read`] does it. Names that begin with a dot are passed over.
//!
//! Which pictures are test images is a property of the folder, so that every command means the same ones whatever its
//! flags, and none measures on what another has learned from: of each class, in the order of the pictures' names shuffled by
//! [`Split::seed`], the first [`Split::test`] share. `split.json` in the folder says other numbers. With `train/`, `test/` and
//! `val/` there is nothing to divide; `val/` stands for `test/` where that is absent.

mod listing;
mod split;

use std::path::{Path, PathBuf};

use engine::rng::{Purpose, Rng};
use rayon::prelude::*;

use super::cifar10::{RECORD_BYTES, planes};
use super::classes::{Classes, MOST};
use super::data_set::Part;
use super::image_set::ImageSet;
use super::picture;
use crate::{Error, Result};
pub use listing::is_left_behind;
use listing::{Listing, PARTS};
pub use split::Split;

/// Pictures decoded between two reports.
const CHUNK: usize = 256;

/// Pictures and their classes, not decoded yet.
#[derive(Clone, Debug)]
pub struct ClassFolders {
    folder: PathBuf,
    classes: Classes,
    /// How the pictures were divided; `None`: they were already.
    pub split: Option<Split>,
    train: Vec<Labelled>,
    val: Vec<Labelled>,
    test: Vec<Labelled>,
}

/// A picture's file and the number of its class.
type Labelled = (PathBuf, u8);

impl ClassFolders {
    /// Looks for the class folders in `folder`, and divides their pictures.
    ///
    /// # Errors
    /// If there are none, or something else is among them.
    pub fn find(folder: &Path) -> Result<Self> {
        let top = Listing::of(folder)?;
        let mut found =
            if top.has_parts()? { Self::divided(folder, &top) } else { Self::to_divide(folder, &top) }?;
        // The first images, of which a limit takes some, are of all classes.
        let seed = found.split.unwrap_or_default().seed;
        for (i, part) in [&mut found.train, &mut found.val, &mut found.test].into_iter().enumerate() {
            Rng::at(seed, Purpose::Split, 1, i).shuffle(part);
        }
        Ok(found)
    }

    /// `train/`, `test/`, `val/`.
    fn divided(folder: &Path, top: &Listing) -> Result<Self> {
        top.expect_no_pictures()?;
        if let Some((name, _)) = top.folders.iter().find(|(name, _)| !PARTS.contains(&name.as_str())) {
            let detail = format!(
                "has a folder {name} beside train; class folders belong inside train and test, all of them"
            );
            return Err(Error::malformed(folder, detail));
        }
        if Split::path(folder).exists() {
            let detail = "is of no use beside train and test, which divide the pictures; remove it";
            return Err(Error::malformed(&Split::path(folder), detail));
        }
        let (train, test, val) = (top.folder("train"), top.folder("test"), top.folder("val"));
        let train = train.ok_or_else(|| Error::malformed(folder, "the folder train is missing"))?;
        let (test, val) = match (test, val) {
            (None, None) => {
                return Err(Error::malformed(folder, "has train, but neither test nor val beside it"));
            }
            (None, Some(val)) => (val, None),
            (Some(test), val) => (test, val),
        };
        let (classes, learned) = classes_in(train, &Listing::of(train)?)?;
        let others = |part: &Path| -> Result<Vec<Labelled>> {
            let (found, pictures) = classes_in(part, &Listing::of(part)?)?;
            let differ = found.names().iter().find(|name| !classes.names().contains(name));
            let differ = differ.or_else(|| classes.names().iter().find(|name| !found.names().contains(name)));
            match differ {
                Some(name) => {
                    let detail = format!("has not the classes of train: `{name}` is in one of them only");
                    Err(Error::malformed(part, detail))
                }
                None => Ok(labelled(pictures)),
            }
        };
        Ok(Self {
            folder: folder.to_path_buf(),
            split: None,
            test: others(test)?,
            val: val.map_or(Ok(Vec::new()), others)?,
            train: labelled(learned),
            classes,
        })
    }

    /// A folder for each class, to be divided.
    fn to_divide(folder: &Path, top: &Listing) -> Result<Self> {
        let split = Split::of(folder)?;
        let (classes, pictures) = classes_in(folder, top)?;
        let (mut train, mut val, mut test) = (Vec::new(), Vec::new(), Vec::new());
        for (label, pictures) in pictures.into_iter().enumerate() {
            let [of_test, of_val, of_train] = split.divide(&top.folders[label].1, pictures, label)?;
            let with_label = |paths: Vec<PathBuf>| paths.into_iter().map(move |path| (path, label as u8));
            test.extend(with_label(of_test));
            val.extend(with_label(of_val));
            train.extend(with_label(of_train));
        }
        Ok(Self { folder: folder.to_path_buf(), classes, split: Some(split), train, val, test })
    }

    /// Whether pictures are kept apart to choose on.
    pub fn has_validation(&self) -> bool {
        !self.val.is_empty()
    }

    /// Decodes the pictures of a part; `report` is told how many of how many are done.
    ///
    /// # Errors
    /// Naming the first picture that is damaged.
    pub fn read(&self, part: Part, report: &mut dyn FnMut(usize, usize)) -> Result<ImageSet> {
        let pictures = match part {
            Part::Train => &self.train,
            Part::Val => &self.val,
            Part::Test => &self.test,
        };
        if pictures.is_empty() {
            let detail = match self.split {
                None => "has no validation images; a folder val beside train would hold them".to_owned(),
                Some(_) => format!(
                    "has no validation images; `{{\"val\": 0.1}}` in {} keeps a tenth of each class apart",
                    Split::path(&self.folder).display()
                ),
            };
            return Err(Error::malformed(&self.folder, detail));
        }
        let mut records = Vec::with_capacity(pictures.len() * RECORD_BYTES);
        for (i, chunk) in pictures.chunks(CHUNK).enumerate() {
            let decoded: Vec<Result<_>> = chunk.par_iter().map(|(path, _)| picture::read(path)).collect();
            for (picture, (_, label)) in decoded.into_iter().zip(chunk) {
                records.push(*label);
                records.extend(planes(&picture?.pixels));
            }
            report(i * CHUNK + chunk.len(), pictures.len());
        }
        ImageSet::from_classes(&self.folder.to_string_lossy(), records, self.classes.clone())
    }
}

/// The class folders in `folder`, which has this listing, and the pictures of each, by name.
fn classes_in(folder: &Path, listing: &Listing) -> Result<(Classes, Vec<Vec<PathBuf>>)> {
    listing.expect_no_pictures()?;
    let bad = |detail: String| Err(Error::malformed(folder, detail));
    match listing.folders.as_slice() {
        [] => {
            return bad("no data set here: expected CIFAR-10 (data_batch_1.bin, test_batch.bin), CIFAR-100 (train.bin, \
                        test.bin) or a folder of pictures for each class"
                .into());
        }
        [(name, _)] => {
            return bad(format!("has one class only, `{name}`; a network tells at least two apart"));
        }
        folders if folders.len() > MOST => {
            return bad(format!("has {} class folders; at most {MOST} can be told apart", folders.len()));
        }
        _ => {}
    }
    let pictures = listing.folders.iter().map(|(_, path)| Listing::of(path)?.into_pictures());
    let pictures = pictures.collect::<Result<Vec<_>>>()?;
    Ok((Classes::new(listing.folders.iter().map(|(name, _)| name.clone())), pictures))
}

/// Each picture with its class.
fn labelled(pictures: Vec<Vec<PathBuf>>) -> Vec<Labelled> {
    let of_class =
        |(label, paths): (usize, Vec<PathBuf>)| paths.into_iter().map(move |path| (path, label as u8));
    pictures.into_iter().enumerate().flat_map(of_class).collect()
}

#[cfg(test)]
mod tests;
