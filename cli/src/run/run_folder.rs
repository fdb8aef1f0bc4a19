//! A run's folder: what was asked, what was measured, what was made.
//!
//! ```text
//! runs/train-20250131-174501/
//!     config.toml        the settings; `--config` and `--resume` read it back
//!     inputs.json        sizes and checksums of the files it began with; `--resume` compares
//!     .lock              held by the process that works here
//!     metrics.jsonl      one JSON object a line, appended as the run goes
//!     state.safetensors  where the run stands, replaced as a whole
//!     ...                what the verb makes: weights, models, plots, reports
//! ```

mod inputs;
mod lock;
mod name;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use models::formats::atomic;
use serde::Serialize;
use serde_json::Value;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::overwrite::expect_no_input;
use crate::run::{program, settings};
use inputs::InputFile;
pub use inputs::RECIPE;
use lock::Lock;
use name::{timestamp, unused};

/// Name of the metrics' file.
pub const METRICS: &str = "metrics.jsonl";
/// Name of the page that ends a run.
pub const REPORT: &str = "report.html";

/// A folder that holds a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    folder: PathBuf,
    _lock: Lock,
}

impl RunFolder {
    /// A new run in `folder`, by default `runs/VERB-TIMESTAMP`, with its `config.toml`.
    ///
    /// A folder in which a run left nothing but its settings is used again, and so is one in which a verb that cannot resume has
    /// not come to its end.
    ///
    /// # Errors
    /// If the folder holds a run already, its settings are the file that `--config` names, another process works in it, or it cannot be
    /// written to.
    pub fn create(context: &Context, folder: Option<&Path>, settings: &impl Serialize) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => unused(Path::new("runs"), &format!("{}-{}", context.verb, timestamp(SystemTime::now()))),
        };
        fs::create_dir_all(&folder).map_err(|e| models::Error::io("create", &folder, e))?;
        let run = Self { _lock: Lock::take(&folder)?, folder };
        run.clear(context)?;
        expect_no_input("--out", &run.path(settings::FILE_NAME), &Vec::from_iter(context.config()))?;
        // Of a run that was ended before it had anything to go on with: the new one may begin with other files.
        fs::remove_file(run.path(inputs::NAME)).ok();
        run.write(settings::FILE_NAME, settings::to_text(&context.verb, context.seed, settings)?.as_bytes())?;
        Ok(run)
    }

    /// The run in `folder`, to continue.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.join(settings::FILE_NAME).exists() {
            let text =
                format!("{}: holds no run to resume ({} is missing)", folder.display(), settings::FILE_NAME);
            return Err(Failure::BadInput(text).into());
        }
        let run = Self { _lock: Lock::take(folder)?, folder: folder.to_path_buf() };
        remove_partial(&run.folder);
        Ok(run)
    }

    /// Makes sure that nothing stands in the way of a new run, or says what does.
    fn clear(&self, context: &Context) -> Result<()> {
        remove_partial(&self.folder);
        if !self.path(settings::FILE_NAME).exists() {
            return Ok(());
        }
        let named = |name: &std::ffi::OsStr| name == settings::FILE_NAME || name == inputs::NAME;
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut names = entries.map(|entry| entry.file_name());
        if names.all(|name| named(&name) || Lock::is_file(&name)) {
            return Ok(());
        }
        // Whoever's run it is: one that can go on is not to be lost, not even to a verb that cannot.
        let theirs = settings::verb_in(&self.path(settings::FILE_NAME));
        let resumes = theirs.as_deref().is_none_or(Context::resumes);
        if !resumes && !Context::resumes(&context.verb) && !self.path(REPORT).exists() {
            fs::remove_file(self.path(METRICS)).ok();
            return Ok(());
        }
        let (folder, theirs) =
            (self.folder.display(), theirs.map_or(String::new(), |verb| format!(" of `{verb}`")));
        let advice = if resumes { "continue it with --resume, or choose" } else { "choose" };
        let text = format!("{folder}: holds a run{theirs} already; {advice} another folder with --out");
        Err(Failure::BadInput(text).into())
    }

    /// Notes the files that the run begins with, each with its role; of a run that goes on, checks that they are the
    /// same.
    ///
    /// # Errors
    /// If a file cannot be read, or is not the one that the run began with.
    pub fn pin(&self, context: &Context, files: &[(&str, &Path)]) -> Result<()> {
        let all = files.iter().map(|(role, path)| InputFile::all(role, path)).collect::<Result<Vec<_>>>()?;
        let now = all.concat();
        let path = self.path(inputs::NAME);
        match fs::read_to_string(&path) {
            Ok(text) => {
                let broken = |e| Failure::BadInput(format!("{}: {e}", path.display()));
                let before: Vec<InputFile> = serde_json::from_str(&text).map_err(broken)?;
                inputs::check("cannot resume", &before, &now)
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                if self.path(METRICS).exists() {
                    context.note("an earlier version began this run and kept no checksums: its files are taken to be the same");
                }
                self.write(inputs::NAME, serde_json::to_string_pretty(&now)?.as_bytes()).map(|_| ())
            }
            Err(e) => Err(models::Error::io("read", &path, e).into()),
        }
    }

    /// The command that goes on with the run, of the program as it was started.
    pub fn resume(&self, context: &Context) -> String {
        let folder = program::word(&self.folder.to_string_lossy());
        format!("{} {} --resume {folder}", program::name(), context.verb)
    }

    /// Checks that the run in `other` began with the same files as this one, by their checksums.
    ///
    /// # Errors
    /// If there is no run, or it began with others.
    pub fn began_as(&self, other: &Path) -> Result<()> {
        let read = |folder: &Path| -> Result<Vec<InputFile>> {
            let path = folder.join(inputs::NAME);
            let text = fs::read_to_string(&path).map_err(|e| models::Error::io("read", &path, e))?;
            let broken = |e| Failure::BadInput(format!("{}: {e}", path.display()));
            Ok(serde_json::from_str(&text).map_err(broken)?)
        };
        inputs::check(&format!("cannot merge {}", other.display()), &read(other)?, &read(&self.folder)?)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of a file in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes a file whole or not at all, and returns its path.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.path(name);
        atomic::write(&path, bytes)?;
        Ok(path)
    }

    /// Appends one line to `metrics.jsonl`.
    ///
    /// # Errors
    /// If the file cannot be written to.
    pub fn append_metrics(&self, metrics: &impl Serialize) -> Result<()> {
        let path = self.path(METRICS);
        let mut line = serde_json::to_string(metrics)?;
        line.push('\n');
        let append = || {
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path)?;
            file.write_all(line.as_bytes())?;
            file.sync_data() // before the state that counts on it
        };
        append().map_err(|e| models::Error::io("write", &path, e).into())
    }

    /// All lines of `metrics.jsonl`; a last line that a crash cut short or garbled is left out.
    ///
    /// # Errors
    /// If the file cannot be read or another line is no JSON.
    pub fn metrics(&self) -> Result<Vec<Value>> {
        Ok(self.metrics_lines()?.into_iter().map(|(_, value)| value).collect())
    }

    /// The same, each with its text.
    fn metrics_lines(&self) -> Result<Vec<(String, Value)>> {
        lines_in(&self.path(METRICS))
    }

    /// Appends `last`, which the saved state remembers, if the file has lost it: whatever became of the metrics' last
    /// line, the state is whole.
    ///
    /// # Errors
    /// As [`append_metrics`](Self::append_metrics).
    pub fn complete_metrics<M: Serialize>(&self, last: Option<&M>, step: impl Fn(&M) -> u64) -> Result<()> {
        let Some(last) = last else { return Ok(()) };
        let known = self.metrics()?.iter().any(|m| m["step"].as_u64() == Some(step(last)));
        if known { Ok(()) } else { self.append_metrics(last) }
    }

    /// Keeps the lines of `metrics.jsonl` for which `keep` holds, byte for byte: a resumed run repeats the rest.
    ///
    /// # Errors
    /// As [`metrics`](Self::metrics), or if the file cannot be written to.
    pub fn retain_metrics(&self, keep: impl Fn(&Value) -> bool) -> Result<()> {
        if !self.path(METRICS).exists() {
            return Ok(());
        }
        let lines = self.metrics_lines()?;
        let kept: String =
            lines.iter().filter(|(_, m)| keep(m)).map(|(text, _)| format!("{text}\n")).collect();
        self.write(METRICS, kept.as_bytes()).map(|_| ())
    }
}

/// Removes what a killed process was writing, from `folder` and the folders in it; not from those that are runs of their
/// own, which another process may hold.
fn remove_partial(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if !path.join(settings::FILE_NAME).exists() {
                remove_partial(&path);
            }
        } else if is_partial(&name) {
            fs::remove_file(path).ok();
        }
    }
}

/// Whether `name` is `.NAME.PROCESS.partial`, as [`atomic::write`](models::formats::atomic::write()) calls what it has not finished.
fn is_partial(name: &str) -> bool {
    let inner = name.strip_prefix('.').and_then(|name| name.strip_suffix(".partial"));
    inner.and_then(|inner| inner.rsplit_once('.')).is_some_and(|(_, process)| process.parse::<u32>().is_ok())
}

/// What [`RunFolder::metrics`] finds in the file `path`, in whatever folder it is; nothing if there is no file.
///
/// # Errors
/// If the file cannot be read or another line than the last is no JSON.
pub fn metrics_in(path: &Path) -> Result<Vec<Value>> {
    Ok(lines_in(path)?.into_iter().map(|(_, value)| value).collect())
}

/// Each line as text and as JSON.
fn lines_in(path: &Path) -> Result<Vec<(String, Value)>> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(models::Error::io("read", path, e).into()),
    };
    let count = text.lines().count();
    let mut lines = Vec::with_capacity(count);
    for (i, line) in text.lines().enumerate() {
        match serde_json::from_str(line) {
            Ok(value) => lines.push((line.to_owned(), value)),
            Err(_) if i + 1 == count => {}
            Err(e) => {
                return Err(Failure::BadInput(format!("{}: line {}: {e}", path.display(), i + 1)).into());
            }
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metrics_line_cut_short_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder { _lock: Lock::take(dir.path()).unwrap(), folder: dir.path().to_path_buf() };
        assert!(run.metrics().unwrap().is_empty());
        run.append_metrics(&serde_json::json!({"epoch": 1})).unwrap();
        run.append_metrics(&serde_json::json!({"epoch": 2})).unwrap();
        let mut file = fs::OpenOptions::new().append(true).open(run.path(METRICS)).unwrap();
        file.write_all(b"{\"epo").unwrap();
        assert_eq!(run.metrics().unwrap().len(), 2);
        run.retain_metrics(|m| m["epoch"] == 1).unwrap();
        assert_eq!(fs::read_to_string(run.path(METRICS)).unwrap(), "{\"epoch\":1}\n");
    }
}
