//! `data slice`: a small, class-balanced data set out of a large one.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use models::data::cifar10::Cifar10;
use models::data::slice::{Exclusions, write};
use serde_json::json;

use super::sums;
use crate::run::context::Context;
use crate::run::exit::Failure;

/// Arguments of `data slice`.
#[derive(Args, Clone, Debug)]
pub struct SliceArgs {
    /// The large data set
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The folder of the small one, which must be empty or not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Training images of each class
    #[arg(long, value_name = "N", default_value_t = 200)]
    train: usize,
    /// Test images of each class
    #[arg(long, value_name = "N", default_value_t = 100)]
    test: usize,
    /// JSON list of images to leave out: {"train_not_lossless": [..], "test_not_lossless": [..]}
    #[arg(long, value_name = "FILE")]
    exclude: Option<PathBuf>,
}

/// Cuts and prints.
///
/// # Errors
/// If the data or the list cannot be read, a class has too few images, or the folder cannot be written to.
pub fn run(args: &SliceArgs, context: &Context) -> Result<()> {
    // A part of the large set in its place would be lost, and what is left of another would be taken for the small one's.
    if fs::read_dir(&args.out).is_ok_and(|mut entries| entries.next().is_some()) {
        let text = format!("{}: is not empty; choose another folder with --out", args.out.display());
        return Err(Failure::BadInput(text).into());
    }
    let source = Cifar10::open(&args.data)?;
    let excluded = args.exclude.as_ref().map(Exclusions::read).transpose()?.unwrap_or_default();
    write(&source, &args.out, args.train, args.test, &excluded)?;
    let names = ["batches.meta.txt", "data_batch_1.bin", "test_batch.bin"].map(str::to_string);
    sums::write(&args.out, &names)?;
    let slice = Cifar10::open(&args.out)?;
    context.say(format_args!(
        "{}: {} training and {} test images",
        args.out.display(),
        slice.train.len(),
        slice.test.len()
    ))?;
    context.result(&json!({
        "folder": args.out,
        "train": {"images": slice.train.len(), "per_class": args.train},
        "test": {"images": slice.test.len(), "per_class": args.test},
        "excluded": excluded.train.len() + excluded.test.len(),
    }))
}
