//! `data pictures`: a data set as PNG files, `train/cat/17.png`, ...; to look at, and to begin one's own from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use models::data::cifar10::{ImageSet, SIDE, interleave};
use serde_json::json;

use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::progress::Progress;
use crate::show::picture::png_file;

/// Arguments of `data pictures`.
#[derive(Args, Clone, Debug)]
pub struct PicturesArgs {
    /// The data set [default: the slice of CIFAR-10 that comes with the program]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The folder of the pictures, which must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Only the first N images of each class, for training and for testing
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_class: Option<u32>,
}

/// Writes the pictures; the folder appears when it is complete.
///
/// # Errors
/// If the data set cannot be read, or the folder is there or cannot be written to.
pub fn run(args: &PicturesArgs, context: &Context) -> Result<()> {
    if args.out.exists() {
        let text = format!("{}: is there already; choose another --out", args.out.display());
        return Err(Failure::BadInput(text).into());
    }
    let data = assets::open_data(context, args.data.as_deref())?;
    let partial = args.out.with_extension("partial");
    fs::remove_dir_all(&partial).ok(); // left by a crash
    let write = || -> Result<[usize; 2]> {
        let part = |name, set| write_part(context, args, &partial.join(name), set);
        let counts = [part("train", &data.train)?, part("test", &data.test)?];
        fs::rename(&partial, &args.out).map_err(|e| models::Error::io("create", &args.out, e))?;
        Ok(counts)
    };
    let written = write();
    if written.is_err() {
        fs::remove_dir_all(&partial).ok();
    }
    let [train, test] = written?;
    let out = args.out.display();
    context.say(format_args!(
        "{out}: {train} training and {test} test pictures of {} classes",
        data.classes().len()
    ))?;
    context.result(&json!({
        "folder": args.out,
        "train": {"images": train},
        "test": {"images": test},
        "classes": data.classes().names(),
    }))
}

/// Writes the images of a part and returns how many.
fn write_part(context: &Context, args: &PicturesArgs, folder: &Path, set: &ImageSet) -> Result<usize> {
    let classes = set.classes();
    for name in classes.names() {
        let place = folder.join(name);
        fs::create_dir_all(&place).map_err(|e| models::Error::io("create", &place, e))?;
    }
    let most = args.per_class.map_or(usize::MAX, |n| n as usize);
    let (mut counts, mut written) = (vec![0; classes.len()], 0);
    let progress = Progress::new(context, "  pictures", set.len());
    for (i, label) in set.labels().enumerate() {
        progress.set(i + 1);
        if counts[label] == most {
            continue;
        }
        counts[label] += 1;
        let path = folder.join(classes.name(label)).join(format!("{i:05}.png"));
        let png = png_file(&interleave(set.image(i)), SIDE, SIDE)?;
        fs::write(&path, png).map_err(|e| models::Error::io("write", &path, e))?;
        written += 1;
    }
    Ok(written)
}
