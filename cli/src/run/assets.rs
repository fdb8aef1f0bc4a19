//! Files that come with the program, so that every verb has something to work on without flags.
//!
//! They are looked for in the folder `QUANT_ASSETS` names, in the source tree the program was built from, and in
//! `assets` next to the program.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::nearest::did_you_mean;
use models::data::augment::Normalization;
use models::data::cifar10::ImageSet;
use models::data::classes::Classes;
use models::data::data_set::{DataSet, Part};
use models::formats::{Model, Opened, open};
use models::nets::quantized;
use models::{Checkpoint, Network};

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::fit::STATE;
use crate::run::input::InputArgs;
use crate::run::program;
use crate::run::progress::Progress;

/// The trained network.
const WEIGHTS: &str = "ResNet20.safetensors";
/// The slice of CIFAR-10.
const DATA: &str = "cifar10-slice";

/// `given`, else the network that comes with the program.
///
/// # Errors
/// If none is given and the program's own is not found.
pub fn weights(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| find(WEIGHTS, "--weights FILE"), file)
}

/// `given`, else the integer-only network that comes with the program.
///
/// # Errors
/// If none is given and the program's own is not found.
pub fn model(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| find(models::assets::INTEGER_MODEL, "--model FILE"), file)
}

/// `path`, unless it is a folder: of a run's, the network in it is named.
fn file(path: &Path) -> Result<PathBuf> {
    if !path.is_dir() {
        return Ok(path.to_path_buf());
    }
    let is_network = |file: &PathBuf| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".safetensors") && !name.contains(".latent.") && name != STATE
    };
    let entries = fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let named = entries.filter(is_network).min().map_or("there is no network in it".to_owned(), |network| {
        format!("give the file of the network in it, {}", network.display())
    });
    Err(Failure::BadInput(format!("{}: is a folder; {named}", path.display())).into())
}

/// `given`, else the slice of CIFAR-10 that comes with the program.
///
/// # Errors
/// If none is given and the program's own is not found.
pub fn data(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| find(DATA, "--data DIR"), |path| Ok(path.to_path_buf()))
}

/// Opens the network that `input` names, else the one that comes with the program, and notes what is worth knowing.
///
/// # Errors
/// If the file is missing or holds no network.
pub fn open_network(context: &Context, input: &InputArgs) -> Result<(PathBuf, Opened)> {
    let path = weights(input.weights.as_deref())?;
    let normalization = normalization(input.normalization.as_deref())?;
    let opened = open::open(&path, input.weights_key.as_deref(), normalization)?;
    opened.notes.iter().for_each(|note| context.note(format_args!("{}: {note}", path.display())));
    let said = matches!(opened.model, Model::Integer(_)) || opened.metadata.contains_key("mean");
    note_what_is_assumed(context, &path, said || normalization.is_some());
    Ok((path, opened))
}

/// Loads the float network `given`, else the one that comes with the program.
///
/// # Errors
/// If the file is missing or no network, or a quantized one.
pub fn load_network(
    context: &Context,
    given: Option<&Path>,
    key: Option<&str>,
    normalization: Option<Normalization>,
) -> Result<(PathBuf, Network)> {
    let path = weights(given)?;
    let checkpoint = open::load_checkpoint_of(&path, key)?;
    checkpoint.notes.iter().for_each(|note| context.note(format_args!("{}: {note}", path.display())));
    let said = normalization.is_some() || checkpoint.normalization()?.is_some();
    note_what_is_assumed(context, &path, said);
    expect_float(&path, &checkpoint)?;
    let network = Network::from_checkpoint(checkpoint, normalization)?;
    Ok((path, network))
}

/// Refuses a quantized network where a float one is asked for: its batch norms know rounded layers, and what it computes in
/// floats means nothing.
fn expect_float(path: &Path, checkpoint: &Checkpoint) -> Result<()> {
    if !checkpoint.metadata.contains_key(quantized::KEY) {
        return Ok(());
    }
    let bits = checkpoint.metadata.get("bits").map_or(String::new(), |bits| format!(" ({bits})"));
    let text = format!(
        "{}: is a quantized network{bits}, where a float one is needed; give the network it was made of, or train this \
         one on with `{} qat --init FILE`",
        path.display(),
        program::name()
    );
    Err(Failure::BadInput(text).into())
}

/// A wrong normalisation costs accuracy and is nobody's error, so that an assumed one is told.
pub fn note_what_is_assumed(context: &Context, path: &Path, said: bool) {
    if !said {
        context.note(format_args!(
            "{}: does not say how its pixels were normalised; the course's numbers are taken (--normalization says others)",
            path.display()
        ));
    }
}

/// Opens the data set `given`, else the slice that comes with the program.
///
/// # Errors
/// If the folder holds no valid data set.
pub fn open_data(context: &Context, given: Option<&Path>) -> Result<DataSet> {
    Ok(DataSet::open(data(given)?, &mut decoding(context))?)
}

/// A part of the data set `given`, else of the slice that comes with the program, and the folder of its files.
///
/// # Errors
/// If the folder holds no valid images of this part.
pub fn open_images(context: &Context, given: Option<&Path>, part: Part) -> Result<(ImageSet, PathBuf)> {
    Ok(DataSet::open_part(data(given)?, part, &mut decoding(context))?)
}

/// Progress of pictures that are decoded, a bar for each part of a data set.
fn decoding(context: &Context) -> impl FnMut(usize, usize) + '_ {
    let mut bar = None;
    move |done, of| {
        bar.get_or_insert_with(|| Progress::new(context, "  pictures", of)).set(done);
        if done == of {
            bar = None;
        }
    }
}

/// Refuses a network (and its file) that tells other classes apart than a data set (and its folder) has. Where only their
/// names differ, a note says so.
///
/// # Errors
/// Saying both numbers, and what to do.
pub fn expect_classes(
    context: &Context,
    (file, known): (&Path, &Classes),
    (folder, classes): (&Path, &Classes),
) -> Result<()> {
    let (file, folder) = (file.display(), folder.display());
    if known.len() != classes.len() {
        let text = format!(
            "{file}: this network tells {} classes apart, but {folder} has {}; give the --data that it was trained \
             on, or train a network for these with `{} train --data {folder}`",
            known.summary(),
            classes.summary(),
            program::name()
        );
        return Err(Failure::BadInput(text).into());
    }
    let nameless = *known == Classes::numbered(known.len()) && *known != Classes::cifar10();
    if known != classes && !nameless {
        context.note(format_args!(
            "{file}: its classes are called {}, those of {folder} {}; they are compared by their numbers",
            known.summary(),
            classes.summary()
        ));
    }
    Ok(())
}

/// Refuses a network, called `name`, of another depth or shortcut than the one in the file `path`: one of the two did not come of
/// the other.
///
/// # Errors
/// Saying what both are.
pub fn expect_kin(name: impl Display, network: &Network, (path, other): (&Path, &Network)) -> Result<()> {
    if (network.depth, network.shortcut) == (other.depth, other.shortcut) {
        return Ok(());
    }
    let (is, other, path) = (network.label(), other.label(), path.display());
    let text = format!("{name}: is a {is}, {path} a {other}; give --weights the float network it came from");
    Err(Failure::BadInput(text).into())
}

/// The normalisation a flag names: `course`, `true`, `imagenet`, or numbers `mean,mean,mean/std,std,std`.
///
/// # Errors
/// If it is none of these.
pub fn normalization(given: Option<&str>) -> Result<Option<Normalization>> {
    Ok(match given {
        None => None,
        Some("course") => Some(Normalization::COURSE),
        Some("true") => Some(Normalization::TRUE),
        Some("imagenet") => Some(Normalization::IMAGENET),
        Some(numbers) => Some(numbers.parse().map_err(|e| {
            let near = did_you_mean(numbers, &["course", "true", "imagenet"]);
            Failure::Usage(format!("--normalization: {e}, or one of course, true, imagenet{near}"))
        })?),
    })
}

fn find(name: &str, flag: &str) -> Result<PathBuf> {
    let beside = || Some(std::env::current_exe().ok()?.parent()?.join("assets"));
    let folders =
        [std::env::var_os("QUANT_ASSETS").map(PathBuf::from), Some(models::assets::folder()), beside()];
    let found = folders.iter().flatten().map(|folder| folder.join(name)).find(|path| path.exists());
    found.ok_or_else(|| {
        Failure::BadInput(format!(
            "{name} is not where the program looks for it; give {flag}, or set QUANT_ASSETS to the folder that holds it"
        ))
        .into()
    })
}
