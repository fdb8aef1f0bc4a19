//! A run's folder: what was asked, what was measured, what was made.
//!
//! ```text
//! runs/train-20250131-174501/
//!     config.toml        the settings; `--config` and `--resume` read it back
//!     metrics.jsonl      one JSON object a line, appended as the run goes
//!     state.safetensors  where the run stands, replaced as a whole
//!     ...                what the verb makes: weights, models, plots, reports
//! ```

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use models::atomic;
use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::exit::Failure;
use crate::settings;

/// Name of the metrics' file.
const METRICS: &str = "metrics.jsonl";

/// A folder that holds a run.
#[derive(Clone, Debug)]
pub struct RunFolder {
    folder: PathBuf,
}

impl RunFolder {
    /// A new run in `folder`, by default `runs/VERB-TIMESTAMP`, with its `config.toml`.
    ///
    /// # Errors
    /// If the folder holds a run already or cannot be written to.
    pub fn create(context: &Context, folder: Option<&Path>, settings: &impl Serialize) -> Result<Self> {
        let folder = match folder {
            Some(folder) => folder.to_path_buf(),
            None => unused(Path::new("runs"), &format!("{}-{}", context.verb, timestamp(SystemTime::now()))),
        };
        if folder.join(settings::FILE_NAME).exists() {
            return Err(Failure::BadInput(format!(
                "{}: holds a run already; continue it with --resume, or choose another folder with --out",
                folder.display()
            ))
            .into());
        }
        fs::create_dir_all(&folder).map_err(|e| models::Error::io("create", &folder, e))?;
        let run = Self { folder };
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
        // What a killed process was writing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') && name.ends_with(".partial") {
                fs::remove_file(entry.path()).ok();
            }
        }
        Ok(Self { folder: folder.to_path_buf() })
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
            file.write_all(line.as_bytes())
        };
        append().map_err(|e| models::Error::io("write", &path, e).into())
    }

    /// All lines of `metrics.jsonl`; a last line that a crash cut short is left out.
    ///
    /// # Errors
    /// If the file cannot be read or another line is no JSON.
    pub fn metrics(&self) -> Result<Vec<Value>> {
        let path = self.path(METRICS);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(models::Error::io("read", &path, e).into()),
        };
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .enumerate()
            .map(|(i, line)| {
                let broken = |e| Failure::BadInput(format!("{}: line {}: {e}", path.display(), i + 1));
                Ok(serde_json::from_str(line).map_err(broken)?)
            })
            .collect()
    }

    /// Keeps the lines of `metrics.jsonl` for which `keep` holds: a resumed run repeats the rest.
    ///
    /// # Errors
    /// As [`metrics`](Self::metrics), or if the file cannot be written to.
    pub fn retain_metrics(&self, keep: impl Fn(&Value) -> bool) -> Result<()> {
        let lines: Vec<String> =
            self.metrics()?.iter().filter(|m| keep(m)).map(|m| format!("{m}\n")).collect();
        self.write(METRICS, lines.concat().as_bytes()).map(|_| ())
    }
}

/// `parent/name`, or `parent/name-2`, ... if that is taken.
fn unused(parent: &Path, name: &str) -> PathBuf {
    let names = std::iter::once(name.to_string()).chain((2..).map(|i| format!("{name}-{i}")));
    names.map(|n| parent.join(n)).find(|p| !p.exists()).expect("numbers do not end")
}

/// `YYYYMMDD-HHMMSS` in UTC.
fn timestamp(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Civil date of a day number: eras of 400 years of 146,097 days, counted from 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}-{h:02}{m:02}{s:02}")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn timestamps_are_civil_dates() {
        let at = |s: u64| timestamp(UNIX_EPOCH + Duration::from_secs(s));
        assert_eq!(at(0), "19700101-000000");
        assert_eq!(at(951_782_400), "20000229-000000");
        assert_eq!(at(1_735_689_599), "20241231-235959");
    }

    #[test]
    fn a_metrics_line_cut_short_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let run = RunFolder { folder: dir.path().to_path_buf() };
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
