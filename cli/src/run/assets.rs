//! Files that come with the program, so that every verb has something to work on without flags.
//!
//! They are looked for in the folder `QUANT_ASSETS` names, in the source tree the program was built from, and in
//! `assets` next to the program.

use std::path::{Path, PathBuf};

use anyhow::Result;
use models::Network;
use models::data::augment::Normalization;
use models::data::cifar10::{Cifar10, ImageSet};
use models::formats::{Opened, open};

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::input::InputArgs;

/// The trained network.
const WEIGHTS: &str = "ResNet20.safetensors";
/// The slice of CIFAR-10.
const DATA: &str = "cifar10-slice";

/// `given`, else the network that comes with the program.
///
/// # Errors
/// If none is given and the program's own is not found.
pub fn weights(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| find(WEIGHTS, "--weights FILE"), |path| Ok(path.to_path_buf()))
}

/// `given`, else the integer-only network that comes with the program.
///
/// # Errors
/// If none is given and the program's own is not found.
pub fn model(given: Option<&Path>) -> Result<PathBuf> {
    given.map_or_else(|| find(models::assets::INTEGER_MODEL, "--model FILE"), |path| Ok(path.to_path_buf()))
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
    Ok((path, opened))
}

/// Loads the float (or latent) weights of the network `given`, else of the one that comes with the program.
///
/// # Errors
/// If the file is missing or no network.
pub fn load_network(
    context: &Context,
    given: Option<&Path>,
    key: Option<&str>,
    normalization: Option<Normalization>,
) -> Result<(PathBuf, Network)> {
    let path = weights(given)?;
    let checkpoint = open::load_checkpoint_of(&path, key)?;
    checkpoint.notes.iter().for_each(|note| context.note(format_args!("{}: {note}", path.display())));
    let network = Network::from_checkpoint(checkpoint, normalization)?;
    Ok((path, network))
}

/// Opens the data set `given`, else the slice that comes with the program.
///
/// # Errors
/// If the folder holds no valid CIFAR-10.
pub fn open_data(given: Option<&Path>) -> Result<Cifar10> {
    Ok(Cifar10::open(data(given)?)?)
}

/// The test images of the data set `given`, else of the slice that comes with the program, and their folder.
///
/// # Errors
/// If the folder holds no valid test images.
pub fn open_test_images(given: Option<&Path>) -> Result<(ImageSet, PathBuf)> {
    Ok(Cifar10::open_test(data(given)?)?)
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
        Some(numbers) => Some(numbers.parse()?),
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
