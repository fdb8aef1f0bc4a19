//! Which pictures of a class are test images.

use std::fs;
use std::path::{Path, PathBuf};

use engine::rng::{Purpose, Rng};
use serde::Deserialize;

use crate::{Error, Result};

/// Name of the file that says other numbers than the default ones.
const NAME: &str = "split.json";

/// Shares of each class, and the seed that chooses.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Split {
    /// Share of the test images.
    pub test: f64,
    /// Share of validation images, which are kept apart from training and test images.
    pub val: f64,
    /// Which pictures these are.
    pub seed: u64,
}

impl Default for Split {
    fn default() -> Self {
        Self { test: 0.2, val: 0.0, seed: 1 }
    }
}

impl Split {
    /// Where the file is, if there is one.
    pub fn path(folder: &Path) -> PathBuf {
        folder.join(NAME)
    }

    /// What `folder` says of it.
    pub(super) fn of(folder: &Path) -> Result<Self> {
        let path = Self::path(folder);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            text => text.map_err(|e| Error::io("read", &path, e))?,
        };
        let split: Self = serde_json::from_str(&text).map_err(|e| {
            let detail = format!("not like {{\"test\": 0.2, \"val\": 0.1, \"seed\": 1}} ({e})");
            Error::malformed(&path, detail)
        })?;
        let valid = split.test > 0.0 && split.val >= 0.0 && split.test + split.val < 1.0;
        let detail = "`test` must be above 0, `val` at least 0, and both together below 1";
        if valid { Ok(split) } else { Err(Error::malformed(&path, detail)) }
    }

    /// Test, validation and training pictures among those of the class `label` in `folder`: at least one of each that is asked
    /// for.
    pub(super) fn divide(
        &self,
        folder: &Path,
        mut all: Vec<PathBuf>,
        label: usize,
    ) -> Result<[Vec<PathBuf>; 3]> {
        let share =
            |share: f64| if share > 0.0 { ((share * all.len() as f64).round() as usize).max(1) } else { 0 };
        let (test, val) = (share(self.test), share(self.val));
        if test + val >= all.len() {
            let detail = format!(
                "holds {} pictures; {test} for testing and {val} for validation leave none to learn from",
                all.len()
            );
            return Err(Error::malformed(folder, detail));
        }
        Rng::at(self.seed, Purpose::Split, 0, label).shuffle(&mut all);
        let mut rest = all.split_off(test);
        let train = rest.split_off(val);
        Ok([all, rest, train])
    }
}
