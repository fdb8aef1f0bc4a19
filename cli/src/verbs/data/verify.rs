//! `data verify`: is this a data set, whole and undamaged?
//!
//! Lengths and labels are checked on opening. Checksums are compared with the `SHA256SUMS` in the folder, where
//! there is one (`data fetch` and `data slice` write it); the official page publishes a checksum of the archive
//! only, which `data fetch` checks.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use models::data::cifar10::ImageSet;
use models::data::class_folders::ClassFolders;
use models::data::data_set::Kind;
use models::data::image_set::RecordFormat;
use serde_json::json;

use super::sums;
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;

/// Arguments of `data verify`.
#[derive(Args, Clone, Debug)]
pub struct VerifyArgs {
    /// The folder [default: the slice that comes with the program]
    folder: Option<PathBuf>,
}

/// Verifies and prints.
///
/// # Errors
/// If a file is missing, of a wrong length, has an impossible label, or differs from its checksum.
pub fn run(args: &VerifyArgs, context: &Context) -> Result<()> {
    let data = assets::open_data(context, args.folder.as_deref())?;
    let listed = sums::listed(&data.folder);
    let (names, format) = match data.kind {
        Kind::Cifar10 => {
            let train = (1..=5).map(|i| format!("data_batch_{i}.bin"));
            (train.chain(["test_batch.bin".into()]).collect(), RecordFormat::CIFAR10)
        }
        Kind::Cifar100 => (vec!["train.bin".into(), "test.bin".into()], RecordFormat::CIFAR100),
        Kind::ClassFolders => (Vec::new(), RecordFormat::CIFAR10),
    };
    let (mut files, mut lines) = (Vec::new(), vec![data.folder.display().to_string()]);
    for name in names.iter().filter(|name| data.folder.join(name).exists()) {
        let path = data.folder.join(name);
        let bytes = std::fs::metadata(&path).map_err(|e| models::Error::io("open", &path, e))?.len();
        let images = bytes / format.record_bytes() as u64;
        let sum = sums::of_file(&path)?;
        let known = listed.get(name);
        if let Some(expected) = known.filter(|expected| **expected != sum) {
            return Err(Failure::BadInput(format!(
                "{}: damaged: its SHA-256 is {sum}, {} says {expected}; fetch the data set again",
                path.display(),
                sums::FILE_NAME
            ))
            .into());
        }
        let verdict = if known.is_some() { "as listed" } else { "not listed" };
        lines.push(format!("  {name:<17} {images:>6} images  sha256 {sum}  {verdict}"));
        let file =
            json!({"file": name, "bytes": bytes, "images": images, "sha256": sum, "listed": known.is_some()});
        files.push(file);
    }
    context.say(lines.join("\n"))?;
    let balanced = [balance(context, "train", &data.train)?, balance(context, "test", &data.test)?];
    let records = data.kind != Kind::ClassFolders;
    let complete = records && (data.train.len(), data.test.len()) == (50_000, 10_000);
    context.say(match (complete, records) {
        (true, _) => "complete: 50,000 training and 10,000 test images".to_owned(),
        (false, true) => {
            "valid, but not the complete set of 50,000 training and 10,000 test images".to_owned()
        }
        (false, false) => {
            let (train, test) = (data.train.len(), data.test.len());
            format!("valid: {train} training and {test} test pictures, {}", divided(&data.folder)?)
        }
    })?;
    context.result(&json!({
        "folder": data.folder,
        "files": files,
        "classes": data.classes().names(),
        "train": {"images": data.train.len(), "per_class": data.train.class_counts()},
        "test": {"images": data.test.len(), "per_class": data.test.class_counts()},
        "balanced": balanced == [true, true],
        "complete": complete,
    }))
}

/// How the pictures of a folder of class folders were divided.
fn divided(folder: &Path) -> Result<String> {
    Ok(match ClassFolders::find(folder)?.split {
        None => "divided by folders".to_owned(),
        Some(split) => {
            let percent = |share: f64| format!("{}%", (1000.0 * share).round() / 10.0);
            let (test, val, seed) = (percent(split.test), percent(split.val), split.seed);
            format!("divided by seed {seed}: {test} of each class for testing, {val} for validation")
        }
    })
}

/// Prints the images of each class; whether they are equally many.
fn balance(context: &Context, name: &str, set: &ImageSet) -> Result<bool> {
    let counts = set.class_counts();
    let balanced = counts.iter().all(|&c| c == counts[0]);
    if balanced {
        context.say(format_args!("  {name}: {} images of each class", counts[0]))?;
    } else {
        let list: Vec<_> =
            set.classes().names().iter().zip(counts).map(|(n, c)| format!("{n} {c}")).collect();
        context.say(format_args!("  {name}: not balanced: {}", list.join(", ")))?;
    }
    Ok(balanced)
}
