//! Where a verb's settings come from: defaults, then `--config FILE`, then the command line.
//!
//! A verb's arguments are a `clap::Args` struct that serde writes and reads too, so a run's `config.toml` is
//! those arguments under the names of their flags (with `_` for `-`), and unknown keys are errors
//! (`#[serde(deny_unknown_fields)]`). `--resume DIR` takes the settings of the run in `DIR`; a setting that is
//! given again must be the same.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{ArgMatches, parser::ValueSource};
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::exit::Failure;

/// Name of the settings' file in a run folder.
pub const FILE_NAME: &str = "config.toml";

/// What the command line and the configuration file say.
#[derive(Debug)]
pub struct Sources {
    matches: ArgMatches,
    /// `--config`, without `verb`.
    file: Option<(PathBuf, Table)>,
    /// `--resume`: the settings of the run, without `verb`.
    resumed: Option<(PathBuf, Table)>,
}

impl Sources {
    /// Reads the configuration files that the command line names.
    ///
    /// # Errors
    /// If one cannot be read, is no TOML, or belongs to another verb.
    pub fn new(verb: &str, matches: &ArgMatches, config: Option<&Path>) -> Result<Self> {
        let resume = matches.try_get_one::<PathBuf>("resume").ok().flatten();
        Ok(Self {
            matches: matches.clone(),
            file: config.map(|path| read(verb, path)).transpose()?,
            resumed: resume.map(|folder| read(verb, &folder.join(FILE_NAME))).transpose()?,
        })
    }

    /// The seed of the command line, else of the file, else `default`.
    ///
    /// # Errors
    /// If the file's seed is no seed, or the run to resume has another one.
    pub fn seed(&self, default: u64) -> Result<u64> {
        #[derive(Serialize, serde::Deserialize)]
        struct Seed {
            seed: u64,
        }
        let only_seed = |source: &Option<(PathBuf, Table)>| {
            source.as_ref().map(|(path, table)| {
                let seed = table.get("seed").cloned();
                (path.clone(), seed.map(|s| ("seed".to_string(), s)).into_iter().collect::<Table>())
            })
        };
        let sources = Self {
            matches: self.matches.clone(),
            file: only_seed(&self.file),
            resumed: only_seed(&self.resumed),
        };
        Ok(sources.resolve_with(Seed { seed: default }, &[])?.seed)
    }

    /// `parsed` (command line over defaults) with the files' values where the command line gave none.
    ///
    /// # Errors
    /// As [`Context::settings`](crate::context::Context::settings).
    pub fn resolve<S: Serialize + DeserializeOwned>(&self, parsed: S) -> Result<S> {
        if self.file.is_none() && self.resumed.is_none() {
            return Ok(parsed);
        }
        self.resolve_with(parsed, &["seed"])
    }

    fn resolve_with<S: Serialize + DeserializeOwned>(&self, parsed: S, leave_out: &[&str]) -> Result<S> {
        let mut settings = Table::try_from(&parsed)?;
        let given = |key: &str| {
            let source = self.matches.try_get_raw(key).ok().flatten().and(self.matches.value_source(key));
            source == Some(ValueSource::CommandLine)
        };
        let without = |table: &Table| {
            table
                .iter()
                .filter(|(k, _)| !leave_out.contains(&k.as_str()))
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<Table>()
        };
        let mut explicit: Vec<String> = settings.keys().filter(|k| given(k)).cloned().collect();
        let mut last = PathBuf::new();
        if let Some((path, file)) = &self.file {
            for (key, value) in without(file) {
                if !given(&key) {
                    explicit.push(key.clone());
                    settings.insert(key, value);
                }
            }
            last.clone_from(path);
        }
        if let Some((path, run)) = &self.resumed {
            let run = without(run);
            for key in &explicit {
                let (asked, before) = (settings.get(key), run.get(key));
                if asked != before {
                    return Err(Failure::BadInput(format!(
                        "cannot resume: `{key}` is {} in {} and {} here; leave it out, or start a new run",
                        shown(before),
                        path.display(),
                        shown(asked),
                    ))
                    .into());
                }
            }
            settings = run;
            last.clone_from(path);
        }
        let (path, defaults) = (last, Table::try_from(&parsed)?);
        // A file need not name every key: what is missing keeps its default.
        for (key, value) in defaults {
            if self.resumed.is_some() || !settings.contains_key(&key) {
                settings.entry(key).or_insert(value);
            }
        }
        settings.try_into().map_err(|e: toml::de::Error| {
            Failure::BadInput(format!("{}: {}", path.display(), e.message())).into()
        })
    }
}

fn shown(value: Option<&Value>) -> String {
    value.map_or("not set".to_string(), ToString::to_string)
}

/// The table in a configuration file of this verb.
fn read(verb: &str, path: &Path) -> Result<(PathBuf, Table)> {
    let text = fs::read_to_string(path).map_err(|e| models::Error::io("read", path, e))?;
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        let line = e.span().map_or(0, |s| text[..s.start].matches('\n').count() + 1);
        Failure::BadInput(format!("{}: line {line}: {}", path.display(), e.message()))
    })?;
    match table.remove("verb") {
        Some(Value::String(other)) if other != verb => Err(Failure::BadInput(format!(
            "{}: these are settings of `{other}`, not of `{verb}`",
            path.display()
        ))
        .into()),
        _ => Ok((path.to_path_buf(), table)),
    }
}

/// The text of a `config.toml`: the verb, the seed, the settings.
///
/// # Errors
/// If the settings cannot be written as TOML.
pub fn to_text(verb: &str, seed: u64, settings: &impl Serialize) -> Result<String> {
    let seed = i64::try_from(seed).map_err(|_| Failure::Usage(format!("seed {seed} is above 2^63 - 1")))?;
    let mut table = Table::new();
    table.insert("verb".into(), Value::String(verb.into()));
    table.insert("seed".into(), Value::Integer(seed));
    table.extend(Table::try_from(settings)?);
    Ok(toml::to_string(&table)?)
}
