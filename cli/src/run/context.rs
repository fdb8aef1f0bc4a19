//! What every verb is given: the global options, and the discipline of the two output streams.
//!
//! | | without `--json` | with `--json` |
//! |---|---|---|
//! | stdout | the results, for people | exactly one JSON object |
//! | stderr | progress, notes, errors | the same, and the results for people |

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::{ArgAction, ArgMatches, Args, CommandFactory, FromArgMatches};
use serde::{Serialize, de::DeserializeOwned};

use crate::run::exit::Failure;
use crate::run::forecast::counted;
use crate::run::settings::Sources;
use crate::run::shard::check_merge;

/// Options that every verb takes.
#[derive(Args, Clone, Debug)]
pub struct GlobalArgs {
    /// Print one JSON object on stdout and everything for people on stderr
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Threads to compute with; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N", help_heading = "Global options",
          value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Seed of everything random: the same seed gives the same result
    #[arg(long, global = true, value_name = "N", default_value_t = 1, help_heading = "Global options",
          value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))] // TOML's largest integer
    pub seed: u64,
    /// Read settings from a TOML file, such as the config.toml of a run; the command line goes before it
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub config: Option<PathBuf>,
    /// No progress and no notes on stderr
    #[arg(long, short, global = true, help_heading = "Global options", conflicts_with = "verbose")]
    pub quiet: bool,
    /// More notes on stderr
    #[arg(long, short, global = true, action = ArgAction::Count, help_heading = "Global options")]
    pub verbose: u8,
}

/// The global options, resolved, and the verb's name.
#[derive(Clone, Debug)]
pub struct Context {
    /// Name of the verb.
    pub verb: String,
    /// Whether stdout carries one JSON object.
    pub json: bool,
    /// Threads of the pool that computes.
    pub threads: usize,
    /// Of everything random.
    pub seed: u64,
    /// Whether progress and notes are wanted.
    pub quiet: bool,
    /// Number of `-v`.
    pub verbose: u8,
    sources: Sources,
}

impl Context {
    /// Resolves the global options.
    ///
    /// # Errors
    /// If the configuration file cannot be read, or `QUANT_ISA` asks for the impossible.
    pub fn new(global: &GlobalArgs, verb: &str, matches: &ArgMatches) -> Result<Self> {
        // The sets of integer kernels first: the variable takes their names, all of which floats know too.
        quant::kernel::forced().map_err(|e| Failure::Usage(e.to_string()))?;
        engine::kernel::Isa::forced_or_best().map_err(|e| Failure::Usage(e.to_string()))?;
        check_merge(verb, matches)?;
        let sources = Sources::new(verb, matches, global.config.as_deref())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self {
            verb: verb.to_string(),
            json: global.json,
            threads: global.threads.map_or(cores, usize::from),
            seed: sources.seed(global.seed)?,
            quiet: global.quiet,
            verbose: global.verbose,
            sources,
        })
    }

    /// The same options with another seed.
    pub fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    /// The same options without progress and notes.
    pub fn quietly(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// The verb's settings: defaults, then the configuration file, then the command line.
    ///
    /// # Errors
    /// If the file has an unknown key or a value of the wrong type, or if a run to resume has other settings.
    pub fn settings<S>(&self, parsed: S) -> Result<S>
    where
        S: Args + FromArgMatches + Serialize + DeserializeOwned,
    {
        self.sources.resolve(parsed)
    }

    /// The configuration file, where one was given.
    pub fn config(&self) -> Option<&std::path::Path> {
        self.sources.config()
    }

    /// Whether `verb` can go on with a run that was stopped.
    pub fn resumes(verb: &str) -> bool {
        let command = crate::Cli::command();
        let verb = command.find_subcommand(verb);
        verb.is_some_and(|verb| verb.get_arguments().any(|flag| flag.get_id() == "resume"))
    }

    /// For verbs without settings.
    ///
    /// # Errors
    /// If a configuration file was given.
    pub fn without_settings(&self) -> Result<()> {
        match self.sources.config() {
            None => Ok(()),
            Some(_) => Err(Failure::Usage(format!("`{}` takes no --config", self.verb)).into()),
        }
    }

    /// Runs `f` inside a pool of [`threads`](Self::threads) threads.
    ///
    /// # Errors
    /// Those of `f`, or if the threads cannot be started.
    pub fn install<T: Send>(&self, f: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads);
        pool.build_global().map_err(|e| anyhow!("cannot start {}: {e}", counted(self.threads, "thread")))?;
        f()
    }

    /// A line of the result for people.
    ///
    /// # Errors
    /// If the stream is closed.
    pub fn say(&self, line: impl Display) -> Result<()> {
        if self.json {
            to_stderr(line);
        } else {
            writeln!(std::io::stdout(), "{line}")?;
        }
        Ok(())
    }

    /// A line about what is going on, to stderr; dropped with `--quiet`.
    pub fn note(&self, line: impl Display) {
        if !self.quiet {
            to_stderr(line);
        }
    }

    /// A line for those who asked for more with `-v`, to stderr.
    pub fn detail(&self, line: impl Display) {
        if self.verbose > 0 {
            to_stderr(line);
        }
    }

    /// The result for programs: printed with `--json`, dropped without. Called once, at the end.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn result(&self, result: &impl Serialize) -> Result<()> {
        if self.json {
            let text = serde_json::to_string(result)?;
            writeln!(std::io::stdout(), "{text}")?;
        }
        Ok(())
    }

    /// Whether progress is drawn as bars: on a terminal only.
    pub fn bars(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// A line to stderr, lost if nobody reads it any more: `cli train 2>&1 | head` and a `tee` that Ctrl-C ended first must not
/// end a run, as `eprintln!` would, which panics.
pub fn to_stderr(line: impl Display) {
    writeln!(std::io::stderr(), "{line}").ok();
}
