//! `--dry-run`: what a long verb would do and what it would take. Nothing is written.
//!
//! Times are those of the same work in small, done on this machine with these threads while the forecast is made, times how
//! much more of it there is. Memory is the most that this process has held meanwhile, plus what is known to grow with the
//! whole; disk is the size of the files.

use std::time::Instant;

use anyhow::Result;
use serde::Serialize;
use serde_json::json;

use crate::run::context::Context;
use crate::run::memory::resident_bytes;

/// What a page takes on disk, about.
const PAGE_BYTES: usize = 600 << 10;

/// What is going to happen.
pub struct Forecast {
    stages: Vec<Stage>,
    files: Vec<File>,
    more_memory: usize,
    basis: String,
}

#[derive(Serialize)]
struct Stage {
    what: String,
    seconds: f64,
}

#[derive(Serialize)]
struct File {
    what: String,
    bytes: usize,
}

impl Forecast {
    /// Nothing yet, and the page with which every run ends; `basis` says what is measured for it.
    pub fn new(basis: impl Into<String>) -> Self {
        let page = File { what: "report page, plots, settings".into(), bytes: PAGE_BYTES };
        Self { stages: Vec::new(), files: vec![page], more_memory: 0, basis: basis.into() }
    }

    /// Adds a step.
    pub fn stage(&mut self, what: impl Into<String>, seconds: f64) {
        self.stages.push(Stage { what: what.into(), seconds });
    }

    /// Adds what is written.
    pub fn file(&mut self, what: impl Into<String>, bytes: usize) {
        self.files.push(File { what: what.into(), bytes });
    }

    /// Adds memory that the measurement in small did not need.
    pub fn memory(&mut self, bytes: usize) {
        self.more_memory += bytes;
    }

    /// Prints all of it.
    ///
    /// # Errors
    /// If stdout is closed.
    pub fn show(self, context: &Context) -> Result<()> {
        let seconds: f64 = self.stages.iter().map(|stage| stage.seconds).sum();
        let disk: usize = self.files.iter().map(|file| file.bytes).sum();
        let memory = resident_bytes().map(|bytes| bytes + self.more_memory as u64);
        context.say(format_args!("`{}` would do this; nothing is written now", context.verb))?;
        for (i, stage) in self.stages.iter().enumerate() {
            context.say(format_args!("{:>3}. {:<64} {:>12}", i + 1, stage.what, spoken(stage.seconds)))?;
        }
        let mib = |bytes: f64| format!("{:.1} MiB", bytes / f64::from(1 << 20));
        context.say(format_args!(
            "time    about {} with {}, from {}",
            spoken(seconds),
            counted(context.threads, "thread"),
            self.basis
        ))?;
        let held =
            memory.map_or("not known on this system".into(), |bytes| format!("about {}", mib(bytes as f64)));
        context.say(format_args!("memory  {held}"))?;
        let files: Vec<String> =
            self.files.iter().map(|file| format!("{} {}", file.what, mib(file.bytes as f64))).collect();
        context.say(format_args!("disk    about {}: {}", mib(disk as f64), files.join(", ")))?;
        context.result(&json!({
            "dry_run": true,
            "steps": self.stages,
            "seconds": seconds,
            "basis": self.basis,
            "threads": context.threads,
            "memory_bytes": memory,
            "files": self.files,
            "disk_bytes": disk,
        }))
    }
}

/// What `work` gives, and the seconds it took.
///
/// # Errors
/// Those of `work`.
pub fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let result = work()?;
    Ok((result, start.elapsed().as_secs_f64()))
}

/// A time as people say it.
pub fn spoken(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `1 epoch`, `2 epochs`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_to_what_they_are_worth() {
        let all = [0.04, 9.26, 59.4, 130.0, 7_300.0].map(spoken);
        assert_eq!(all, ["0.0 s", "9.3 s", "59 s", "2 min 10 s", "2 h 1 min"]);
    }
}
