//! What the cells of a table have to do, read once before the first of them, and the files that say so.
//!
//! What somebody edits in a recipe while the table runs changes no cell of it. What was edited when the table goes on, or when
//! its shards are merged, is refused, because the files are pinned as weights and data are.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use models::Network;

use super::work::{Work, recipe_file};
use crate::run::context::Context;
use crate::run::experiment::Setup;
use crate::run::run_folder::{RECIPE, RunFolder};
use crate::verbs::table::{Place, TableArgs};

/// A cell before it is computed.
pub(in crate::verbs::table) struct Planned<'a> {
    /// Which cell.
    pub(super) place: Place<'a>,
    /// What it has to do; `None` if there is no such cell.
    pub(super) work: Option<Work>,
    /// Where its recipe is, or would be; `None` without `--recipes`.
    file: Option<PathBuf>,
    /// What the recipe says, to the letter; `None` if the cell goes by the flags.
    pub(super) text: Option<String>,
}

/// Every cell of the table, in the order they are computed, those of other shards too.
///
/// # Errors
/// If a recipe cannot be read, or says what cannot be.
pub(in crate::verbs::table) fn planned(args: &TableArgs, seed: u64) -> Result<Vec<Planned<'_>>> {
    args.places(seed).into_iter().map(|place| Planned::read(args, place)).collect()
}

/// Notes the files that the table begins with, recipes included; of a table that goes on, checks that they are the same.
///
/// # Errors
/// If a file cannot be read, or is not the one that the table began with.
pub(in crate::verbs::table) fn pin(
    plan: &[Planned<'_>],
    context: &Context,
    setup: &Setup,
    folder: &RunFolder,
) -> Result<()> {
    // A cell's other seeds have its recipe.
    let own = plan.iter().filter(|cell| cell.place.3 == context.seed);
    let recipes: Vec<(String, &Path)> = own.flat_map(Planned::files).collect();
    let mut files = setup.files();
    files.extend(recipes.iter().map(|(role, path)| (role.as_str(), *path)));
    folder.pin(context, &files)
}

impl<'a> Planned<'a> {
    /// Whether the table's flags say how it is trained.
    pub(in crate::verbs::table) fn trains_by_flags(&self) -> bool {
        matches!(self.work, Some(Work::Train(..)))
    }

    /// Whether the table's flags say how it is quantized, and nothing is trained.
    pub(in crate::verbs::table) fn quantizes_by_flags(&self) -> bool {
        self.text.is_none() && matches!(self.work, Some(Work::Quantize(..)))
    }

    /// Reads what the cell has to do.
    fn read(args: &TableArgs, place: Place<'a>) -> Result<Self> {
        let (bits, mode, method, _) = place;
        let file = recipe_file(args, bits, mode, method);
        let text = match &file {
            Some(file) if file.is_file() => {
                Some(fs::read_to_string(file).map_err(|e| models::Error::io("read", file, e))?)
            }
            _ => None,
        };
        Ok(Self { place, work: Work::of(args, bits, mode, method)?, file, text })
    }

    /// Whether there is no such cell.
    pub(in crate::verbs::table) fn is_none(&self) -> bool {
        self.work.is_none()
    }

    /// The recipe, and what it names beside weights and data, each with its role. Networks of different cells may bear the
    /// same name, so that their roles name the cell's recipe.
    fn files(&self) -> Vec<(String, &Path)> {
        let Some(file) = &self.file else { return Vec::new() };
        let recipe = file.file_name().unwrap_or_default().to_string_lossy();
        let named = match &self.work {
            Some(Work::Qat(qat)) => qat.files(),
            _ => Vec::new(),
        };
        let named = named.into_iter().map(|(role, path)| (format!("{role} of {recipe}"), path));
        std::iter::once((RECIPE.to_owned(), file.as_path())).chain(named).collect()
    }

    /// Refuses a recipe with bits for layers that `network` does not have.
    ///
    /// # Errors
    /// Naming recipe and layer.
    pub(in crate::verbs::table) fn check_layers(&self, network: &Network) -> Result<()> {
        let checked = match &self.work {
            Some(Work::Qat(qat)) => qat.check_layers(network),
            Some(Work::Quantize(recipe) | Work::Train(recipe, _)) => recipe.check_layers(network),
            None => Ok(()),
        };
        match &self.file {
            Some(file) => checked.map_err(|e| e.context(file.display().to_string())),
            None => checked,
        }
    }
}
