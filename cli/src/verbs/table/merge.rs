//! Finished cells of other tables.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::cell::Cell;
use crate::run::exit::Failure;
use crate::run::run_folder::RunFolder;

/// Takes the finished cells of the tables in `shards` into `folder`, models included. Cells that are there already stay. Nothing is
/// taken if one of them began with other files, so that the folder of a merge that was refused may be used again.
///
/// # Errors
/// If a shard began with other files, or a cell cannot be read or written.
pub(super) fn take_cells(folder: &RunFolder, shards: &[PathBuf]) -> Result<()> {
    shards.iter().try_for_each(|shard| folder.began_as(shard))?;
    shards.iter().try_for_each(|shard| take_from(folder, shard))
}

fn take_from(folder: &RunFolder, shard: &Path) -> Result<()> {
    let cells = shard.join("cells");
    let read = |path: &Path, e| models::Error::io("read", path, e);
    let entries = match fs::read_dir(&cells) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()), // no cell fell to it
        entries => entries.map_err(|e| read(&cells, e))?,
    };
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    for file in files {
        let Some(name) = file.file_stem() else { continue };
        let place = Path::new("cells").join(name);
        let done = Path::new("cells").join(file.file_name().unwrap_or_default());
        if folder.path(&done).exists() {
            continue;
        }
        let text = fs::read_to_string(&file).map_err(|e| read(&file, e))?;
        let broken = |e| Failure::BadInput(format!("{}: {e}", file.display()));
        let mut cell: Cell = serde_json::from_str(&text).map_err(broken)?;
        let to = folder.path(&place);
        fs::create_dir_all(&to).map_err(|e| models::Error::io("create", &to, e))?;
        let from = cells.join(name);
        for entry in fs::read_dir(&from).map_err(|e| read(&from, e))?.flatten() {
            let source = entry.path();
            if source.is_file() && !entry.file_name().to_string_lossy().starts_with('.') {
                let bytes = fs::read(&source).map_err(|e| read(&source, e))?;
                folder.write(place.join(entry.file_name()), &bytes)?;
            }
        }
        cell.model = to.join(cell.model.file_name().unwrap_or_default());
        // Last: where this file is, the cell is finished.
        folder.write(&done, serde_json::to_string_pretty(&cell)?.as_bytes())?;
    }
    Ok(())
}
