//! Progress on stderr: a bar on a terminal, an occasional line elsewhere, nothing with `--quiet`. Both say how much time is
//! left.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::run::context::{Context, to_stderr};
use crate::run::forecast::spoken;

/// Without a terminal, a line this often.
const BETWEEN_LINES: Duration = Duration::from_secs(10);

/// Progress of something that takes `total` steps.
pub struct Progress {
    what: String,
    total: u64,
    done: Cell<u64>,
    /// What was done at the first report, and when that was.
    first: Cell<Option<(u64, Instant)>>,
    message: RefCell<String>,
    bar: Option<ProgressBar>,
    /// When the last line was written; `None`: no lines.
    last_line: Cell<Option<Instant>>,
}

impl Progress {
    /// Starts at 0 of `total`.
    pub fn new(context: &Context, what: impl Into<String>, total: usize) -> Self {
        let (what, total) = (what.into(), total as u64);
        let bar = context.bars().then(|| {
            let style = "{prefix} [{bar:32}] {pos}/{len} {wide_msg}";
            let style = ProgressStyle::with_template(style).expect("a valid template");
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style.progress_chars("=> "));
            bar.set_prefix(what.clone());
            bar
        });
        let lines = !context.quiet && bar.is_none();
        Self {
            what,
            total,
            done: Cell::new(0),
            first: Cell::new(None),
            message: RefCell::default(),
            bar,
            last_line: Cell::new(lines.then(Instant::now)),
        }
    }

    /// `done` steps are done.
    pub fn set(&self, done: usize) {
        self.done.set(done as u64);
        if self.first.get().is_none() {
            self.first.set(Some((done as u64, Instant::now())));
        }
        if let Some(bar) = &self.bar {
            bar.set_message(self.state());
            bar.set_position(done as u64);
        } else if self.last_line.get().is_some_and(|t| t.elapsed() >= BETWEEN_LINES) {
            self.last_line.set(Some(Instant::now()));
            let line = format!("{} {}/{} {}", self.what, self.done.get(), self.total, self.state());
            to_stderr(line.trim_end());
        }
    }

    /// `done` steps are done, the last of them before: it was read, not made, and says nothing about the pace.
    pub fn pass(&self, done: usize) {
        let now = || (done.saturating_sub(1) as u64, Instant::now());
        let (first, since) = self.first.get().unwrap_or_else(now);
        self.first.set(Some((first + 1, since)));
        self.set(done);
    }

    /// What stands beside the count: the time left, once there is a pace to tell it by, and the message.
    fn state(&self) -> String {
        let left = self.left().map_or(String::new(), |seconds| format!("{} left ", spoken(seconds)));
        format!("{left}{}", self.message.borrow())
    }

    /// Seconds left, at the pace since the first report.
    fn left(&self) -> Option<f64> {
        let (first, since) = self.first.get()?;
        let (done, left) =
            (self.done.get().saturating_sub(first), self.total.saturating_sub(self.done.get()));
        (done > 0).then(|| since.elapsed().as_secs_f64() / done as f64 * left as f64)
    }

    /// What to show beside the count: the loss, say.
    pub fn message(&self, message: impl Into<String>) {
        *self.message.borrow_mut() = message.into();
        if let Some(bar) = &self.bar {
            bar.set_message(self.state());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_says_nothing_about_the_pace() {
        let progress = Progress {
            what: "search".into(),
            total: 10,
            done: Cell::new(0),
            first: Cell::new(None),
            message: RefCell::default(),
            bar: None,
            last_line: Cell::new(None),
        };
        (1..=8).for_each(|done| progress.pass(done));
        assert_eq!(progress.left(), None);
        std::thread::sleep(Duration::from_millis(20));
        progress.set(9);
        let left = progress.left().unwrap();
        assert!(left >= 0.02, "{left} s for one of which another took 0.02 s");
    }
}
