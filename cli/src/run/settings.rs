//! Where a verb's settings come from: defaults, then `--config FILE`, then the command line.
//!
//! A verb's arguments are a `clap::Args` struct that serde writes and reads too, so a run's `config.toml` is
//! those arguments under the names of their flags (with `_` for `-`), and unknown keys are errors; `out`, `resume` and
//! `dry_run` are not written. `--resume DIR` takes the settings of the run in `DIR`; a setting that is given again must be the
//! same, but for [what results do not depend on](OF_MACHINES).

mod unwritable;

pub use unwritable::expect_text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{ArgMatches, Args, Command, FromArgMatches, parser::ValueSource};
use engine::nearest::nearest;
use serde::{Serialize, de::DeserializeOwned};
use toml::{Table, Value};

use crate::run::exit::Failure;
use crate::run::program;

/// Name of the settings' file in a run folder.
pub const FILE_NAME: &str = "config.toml";

/// What the command line and the configuration file say.
#[derive(Clone, Debug)]
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

    /// The file of `--config`.
    pub fn config(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
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
    /// As [`Context::settings`](crate::run::context::Context::settings).
    pub fn resolve<S>(&self, parsed: S) -> Result<S>
    where
        S: Args + FromArgMatches + Serialize + DeserializeOwned,
    {
        let broken = |e: toml::ser::Error| unwritable::named().unwrap_or_else(|| e.into());
        let written = Table::try_from(&parsed).map_err(broken)?;
        for place in PLACES.into_iter().filter(|place| self.given(place)) {
            assert!(
                written.contains_key(place),
                "`{place}` must go through serde: it is marked #[serde(skip)]"
            );
        }
        let Some((path, _)) = self.resumed.as_ref().or(self.file.as_ref()) else { return Ok(parsed) };
        for (path, table) in self.file.iter().chain(&self.resumed) {
            check_keys::<S>(path, table)?;
        }
        let settings = self.resolve_with(parsed, &["seed"])?;
        check(&settings, path)?;
        Ok(settings)
    }

    /// Whether the command line gives a value for `key`.
    fn given(&self, key: &str) -> bool {
        let known = self.matches.try_contains_id(key).unwrap_or(false);
        known && self.matches.value_source(key) == Some(ValueSource::CommandLine)
    }

    fn resolve_with<S: Serialize + DeserializeOwned>(&self, parsed: S, leave_out: &[&str]) -> Result<S> {
        let defaults = Table::try_from(&parsed)?; // and what the command line gives
        let read = |(path, table): &(PathBuf, Table)| {
            let kept = table.iter().filter(|(key, _)| !leave_out.contains(&key.as_str()));
            (path.clone(), kept.map(|(key, value)| (key.clone(), value.clone())).collect::<Table>())
        };
        // What somebody asked for, and which file to name if it is wrong.
        let mut asked: Table =
            defaults.iter().filter(|(k, _)| self.given(k)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let mut named = PathBuf::new();
        if let Some((path, file)) = self.file.as_ref().map(read) {
            file.into_iter().for_each(|(key, value)| _ = asked.entry(key).or_insert(value));
            named = path;
        }
        let mut settings = asked.clone();
        if let Some((path, run)) = self.resumed.as_ref().map(read) {
            let differs = |(key, value): &(&String, &Value)| {
                !PLACES.iter().chain(&OF_MACHINES).any(|place| place == key) && run.get(*key) != Some(*value)
            };
            if let Some((key, value)) = asked.iter().find(differs) {
                let before = run.get(key).map_or("not set".to_string(), ToString::to_string);
                return Err(Failure::BadInput(format!(
                    "cannot resume: `{key}` is {value} here and {before} in {}; leave it out, or start a new run",
                    path.display()
                ))
                .into());
            }
            (settings, named) = (run, path);
        }
        // A file need not name every key; where the run is, only the command line says, and where its files are, first of all.
        let said = |key: &str| PLACES.contains(&key) || (OF_MACHINES.contains(&key) && self.given(key));
        let places = defaults.iter().filter(|(key, _)| said(key));
        settings.extend(places.map(|(key, value)| (key.clone(), value.clone())));
        defaults.into_iter().for_each(|(key, value)| _ = settings.entry(key).or_insert(value));
        settings.try_into().map_err(|e: toml::de::Error| {
            Failure::BadInput(format!("{}: {}", named.display(), in_a_line(&e))).into()
        })
    }
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

/// The verb whose settings are in the file; `None` if it says none.
pub fn verb_in(path: &Path) -> Option<String> {
    let table: Table = fs::read_to_string(path).ok()?.parse().ok()?;
    table.get("verb")?.as_str().map(str::to_owned)
}

/// The settings in a file of `verb`, with the defaults of what it leaves open.
///
/// # Errors
/// If the file cannot be read, belongs to another verb, or has a value that its flag would refuse.
pub fn from_file<S>(verb: &str, path: &Path) -> Result<S>
where
    S: Args + FromArgMatches + Serialize + DeserializeOwned,
{
    let (path, mut table) = read(verb, path)?;
    check_keys::<S>(&path, &table)?;
    table.remove("seed");
    defaults::<S>()?.into_iter().for_each(|(key, value)| _ = table.entry(key).or_insert(value));
    let broken = |e: toml::de::Error| Failure::BadInput(format!("{}: {}", path.display(), in_a_line(&e)));
    let settings: S = table.try_into().map_err(broken)?;
    check(&settings, &path)?;
    Ok(settings)
}

/// What is wrong with a value, and whose it is.
fn in_a_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The defaults of a verb's settings.
fn defaults<S: Args + FromArgMatches + Serialize>() -> Result<Table> {
    let bare = S::augment_args(Command::new("cli")).try_get_matches_from(["cli"])?;
    Ok(Table::try_from(S::from_arg_matches(&bare)?)?)
}

/// Refuses a key that is no flag of the verb, or that says where a run is: a file that did could change another run.
fn check_keys<S: Args>(path: &Path, table: &Table) -> Result<()> {
    let command = S::augment_args(Command::new("cli"));
    let known: Vec<&str> = command.get_arguments().map(|arg| arg.get_id().as_str()).collect();
    if let Some(place) = PLACES.iter().find(|place| table.contains_key(**place)) {
        let text = format!(
            "{}: `{place}` is said on the command line only, as --{}; delete it here",
            path.display(),
            place.replace('_', "-")
        );
        return Err(Failure::BadInput(text).into());
    }
    let unknown = table.keys().find(|key| *key != "seed" && !known.contains(&key.as_str()));
    let Some(key) = unknown else { return Ok(()) };
    let near = nearest(key, &known).map_or(String::new(), |near| format!(" (did you mean `{near}`?)"));
    let (path, known) = (path.display(), known.join(", "));
    let text = format!("{path}: unknown field `{key}`{near}, expected one of {known}");
    Err(Failure::BadInput(text).into())
}

/// Flags that say where a run is, or whether it is one at all, not what it does: they are kept out of `config.toml`.
const PLACES: [&str; 4] = ["out", "resume", "known", "dry_run"];

/// Settings that a result does not depend on: where files lie, whose contents are compared, and what is kept in memory.
pub const OF_MACHINES: [&str; 4] = ["weights", "data", "recipes", "cache_mib"];

/// The settings as a table, without the run's place.
fn table_of(settings: &impl Serialize) -> Result<Table> {
    let mut table = Table::try_from(settings)?;
    table.retain(|key, _| !PLACES.contains(&key));
    Ok(table)
}

/// The text of a `config.toml`: the verb, the seed, the settings.
///
/// # Errors
/// If the settings cannot be written as TOML.
pub fn to_text(verb: &str, seed: u64, settings: &impl Serialize) -> Result<String> {
    let seed = i64::try_from(seed).expect("the flag takes no larger seed");
    let mut table = Table::new();
    table.insert("verb".into(), Value::String(verb.into()));
    table.insert("seed".into(), Value::Integer(seed));
    table.extend(table_of(settings)?);
    Ok(toml::to_string(&table)?)
}

/// The flags that repeat a run: those that are not defaults, each with its value.
fn flags<S: Args + FromArgMatches + Serialize>(settings: &S) -> Result<Vec<(String, Option<String>)>> {
    let defaults = defaults::<S>()?;
    let mut flags = Vec::new();
    for (key, value) in table_of(settings)? {
        let default = defaults.get(&key);
        let text = match &value {
            value if default == Some(value) => continue,
            Value::Boolean(true) if default == Some(&Value::Boolean(false)) => None,
            Value::String(text) => Some(text.clone()),
            Value::Array(values) => {
                let text = |v: &Value| v.as_str().map_or(v.to_string(), str::to_string);
                Some(values.iter().map(text).collect::<Vec<_>>().join(","))
            }
            value => Some(value.to_string()),
        };
        flags.push((format!("--{}", key.replace('_', "-")), text));
    }
    Ok(flags)
}

/// The command that repeats a run, by the name under which the program was started.
///
/// # Errors
/// If the settings cannot be written as TOML.
pub fn command<S: Args + FromArgMatches + Serialize>(verb: &str, seed: u64, settings: &S) -> Result<String> {
    let mut words = vec![program::name().to_string(), verb.to_string()];
    if seed != 1 {
        words.push(format!("--seed {seed}"));
    }
    for (flag, value) in flags(settings)? {
        words.push(flag);
        words.extend(value.as_deref().map(program::word));
    }
    Ok(words.join(" "))
}

/// Puts settings from a file through the checks of the command line: ranges, conflicts.
fn check<S: Args + FromArgMatches + Serialize>(settings: &S, file: &Path) -> Result<()> {
    let words = flags(settings)?.into_iter().map(|(flag, value)| match value {
        Some(value) => format!("{flag}={value}"),
        None => flag,
    });
    let words = std::iter::once("cli".to_string()).chain(words);
    S::augment_args(Command::new("cli")).try_get_matches_from(words).map(|_| ()).map_err(|e| {
        let text = e.to_string();
        let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Failure::BadInput(format!("{}: {first}", file.display())).into()
    })
}

#[cfg(test)]
mod tests;
