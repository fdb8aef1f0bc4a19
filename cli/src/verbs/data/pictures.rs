//! `data pictures`: a data set as PNG files, `train/cat/17.png`, ...; to look at, and to begin one's own from.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use models::data::cifar10::{ImageSet, SIDE, interleave};
use models::data::class_folders::ClassFolders;
use models::data::data_set::{Kind, Part};
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
    let mut parts = vec![("train", data.train.clone()), ("test", data.test.clone())];
    if data.kind == Kind::ClassFolders && ClassFolders::find(&data.folder)?.has_validation() {
        parts.push(("val", assets::open_images(context, args.data.as_deref(), Part::Val)?.0));
    }
    parts.iter().try_for_each(|(name, set)| check(&data.folder, name, set))?;
    let partial = Partial::beside(&args.out)?;
    let mut counts = Vec::new();
    for (name, set) in &parts {
        counts.push(write_part(context, args, &partial.folder.join(name), set)?);
    }
    fs::rename(&partial.folder, &args.out).map_err(|e| models::Error::io("create", &args.out, e))?;
    let kept = counts.get(2).map_or(String::new(), |val| format!(", {val} for validation"));
    context.say(format_args!(
        "{}: {} training and {} test pictures of {} classes{kept}",
        args.out.display(),
        counts[0],
        counts[1],
        data.classes().len()
    ))?;
    let mut result = json!({"folder": args.out, "classes": data.classes().names()});
    for ((name, _), images) in parts.iter().zip(counts) {
        result[name] = json!({"images": images});
    }
    context.result(&result)
}

/// The folder that is written to until all is there: hidden, beside the one that it will become, and of this process alone.
/// Removed with what is in it, unless it has been renamed.
struct Partial {
    folder: PathBuf,
}

impl Partial {
    fn beside(out: &Path) -> Result<Self> {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let folder = out.with_file_name(format!(".{name}.{}.partial", std::process::id()));
        let create = || {
            out.parent().map_or(Ok(()), fs::create_dir_all)?;
            fs::create_dir(&folder) // not one that is there
        };
        create().map_err(|e| models::Error::io("create", &folder, e))?;
        Ok(Self { folder })
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Whether the images of a part can be pictures that `--data` takes: each class has some, and a name that a folder can have.
///
/// # Errors
/// Naming the class.
fn check(folder: &Path, part: &str, set: &ImageSet) -> Result<()> {
    let mut there = vec![false; set.classes().len()];
    set.labels().for_each(|label| there[label] = true);
    for (name, there) in set.classes().names().iter().zip(there) {
        let of = format!("{}: class `{}`", folder.display(), name.escape_default());
        if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
            return Err(Failure::BadInput(format!("{of} cannot be the name of a folder")).into());
        }
        if !there {
            let text = format!("{of} has no image in {part}; as pictures, each part needs one of each class");
            return Err(Failure::BadInput(text).into());
        }
    }
    Ok(())
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
