//! A run divided among processes: which part is whose, and the parts put together.
//!
//! An evaluation is a function of the network, the data, the settings and the seed, and so is a cell of a table. Who
//! computes it does not matter, so that a run can be divided: shard `i` of `n` takes everything whose place in a list that all
//! shards know is `i - 1` modulo `n`. Shards have folders of their own and never write into another's.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, FromArgMatches};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::run::exit::Failure;
use crate::run::input::InputArgs;
use crate::run::settings;

/// One of several processes that share a run, written `2/3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    /// From 1.
    index: usize,
    of: usize,
}

impl Shard {
    /// Whether what stands at `place` of a list is this shard's.
    pub fn takes(self, place: usize) -> bool {
        place % self.of == self.index - 1
    }

    /// How many of `all` places at the most are a shard's.
    pub fn share(self, all: usize) -> usize {
        all.div_ceil(self.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        match numbers {
            Some((index, of)) if (1..=of).contains(&index) => Ok(Self { index, of }),
            _ => Err(format!("`{text}` is not of the form i/n with i from 1 to n")),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

impl TryFrom<String> for Shard {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Arguments of `merge`.
#[derive(Args, Clone, Debug)]
pub struct MergeArgs {
    /// The folders of all shards
    #[arg(value_name = "DIR", required = true)]
    shards: Vec<PathBuf>,
    /// Folder of the whole [default: runs/VERB-TIMESTAMP]
    #[arg(long = "out", id = "merged", value_name = "DIR")]
    out: Option<PathBuf>,
    /// Where the network of the shards lies here, if not where the first of them found it
    #[arg(long = "weights", id = "weights_here", value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Where their data set lies here, if not where the first of them found it
    #[arg(long = "data", id = "data_here", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl MergeArgs {
    /// The folders of the shards.
    pub fn shards(&self) -> &[PathBuf] {
        &self.shards
    }

    /// Where the whole goes.
    pub fn out(&self) -> Option<PathBuf> {
        self.out.clone()
    }

    /// What the shards began with, as it lies on this machine.
    pub fn input(&self, of_shards: InputArgs) -> InputArgs {
        InputArgs {
            weights: self.weights.clone().or(of_shards.weights),
            data: self.data.clone().or(of_shards.data),
            ..of_shards
        }
    }

    /// The settings and the seed that all shards of `verb` have, but for their share; `whole` takes the share out.
    ///
    /// # Errors
    /// If a folder holds no run of this verb, or one with other settings.
    pub fn settings<S>(&self, verb: &str, whole: impl Fn(&mut S)) -> Result<(S, u64)>
    where
        S: Args + FromArgMatches + Serialize + DeserializeOwned,
    {
        let mut first: Option<(S, u64, String)> = None;
        for folder in &self.shards {
            let (mut found, seed) = of_run::<S>(verb, folder)?;
            whole(&mut found);
            let text = settings::to_text(verb, seed, &found)?;
            match &first {
                None => first = Some((found, seed, text)),
                Some((_, _, known)) => same((&self.shards[0], known), (folder, &text))?,
            }
        }
        let (settings, seed, _) = first.expect("the command line demands a folder");
        Ok((settings, seed))
    }
}

/// Refuses the measurements of `other`, a run of `verb`, for a run in `folder` with these settings and this seed, if it had
/// others; `whole` takes out what shards may differ in.
///
/// # Errors
/// If there is no run of this verb, or it has other settings.
pub fn expect_same<S>(
    (verb, seed): (&str, u64),
    (folder, settings): (&Path, &S),
    other: &Path,
    whole: impl Fn(&mut S),
) -> Result<()>
where
    S: Args + FromArgMatches + Serialize + DeserializeOwned + Clone,
{
    let (mut here, (mut there, other_seed)) = (settings.clone(), of_run::<S>(verb, other)?);
    whole(&mut here);
    whole(&mut there);
    let text = |seed, settings: &S| settings::to_text(verb, seed, settings);
    same((folder, &text(seed, &here)?), (other, &text(other_seed, &there)?))
}

/// Refuses two folders whose settings, as text, differ in what decides about results.
fn same((first, known): (&Path, &str), (folder, text): (&Path, &str)) -> Result<()> {
    let of_machine =
        |line: &&str| settings::OF_MACHINES.iter().any(|key| line.split(" = ").next() == Some(*key));
    let [known, text] =
        [known, text].map(|text| text.lines().filter(|line| !of_machine(line)).collect::<Vec<_>>());
    let differs = text.iter().find(|line| !known.contains(line)).copied();
    match differs.or((text.len() != known.len()).then_some("fewer settings")) {
        Some(line) => {
            let (folder, first) = (folder.display(), first.display());
            let text = format!("{folder}: is no shard of the same run as {first}: it has {line}");
            Err(Failure::BadInput(text).into())
        }
        None => Ok(()),
    }
}

/// Refuses `--config` and `--seed` beside `merge`: the shards say what was asked and with which seed, and a second answer
/// would be dropped without a word, or forget the merge.
///
/// # Errors
/// Naming the flag.
pub fn check_merge(verb: &str, matches: &ArgMatches) -> Result<()> {
    if matches.subcommand_name() != Some("merge") {
        return Ok(());
    }
    let given = |flag: &&str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    let Some(flag) = ["config", "seed"].into_iter().find(given) else { return Ok(()) };
    let text =
        format!("--{flag}: `{verb} merge` takes settings and seed from the shards; leave --{flag} out");
    Err(Failure::Usage(text).into())
}

/// Settings and seed of the run in `folder`.
///
/// # Errors
/// If there is none of this verb.
fn of_run<S>(verb: &str, folder: &Path) -> Result<(S, u64)>
where
    S: Args + FromArgMatches + Serialize + DeserializeOwned,
{
    #[derive(Deserialize)]
    struct Seed {
        seed: u64,
    }
    let path = folder.join(settings::FILE_NAME);
    let found = settings::from_file(verb, &path)?;
    let text = fs::read_to_string(&path).map_err(|e| models::Error::io("read", &path, e))?;
    let broken = |e: toml::de::Error| Failure::BadInput(format!("{}: {}", path.display(), e.message()));
    let Seed { seed } = toml::from_str(&text).map_err(broken)?;
    Ok((found, seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_one_shards_and_nonsense_is_refused() {
        let shards: Vec<Shard> = ["1/3", "2/3", "3/3"].map(|text| text.parse().unwrap()).into();
        for place in 0..20 {
            assert_eq!(shards.iter().filter(|shard| shard.takes(place)).count(), 1);
        }
        assert_eq!(shards[1].to_string(), "2/3");
        for text in ["0/3", "4/3", "1", "1/", "a/b", "1/0", "-1/3"] {
            assert!(text.parse::<Shard>().is_err(), "{text}");
        }
    }
}
