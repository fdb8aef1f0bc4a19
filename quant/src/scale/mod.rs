//! Scale rules: how the step `s` of eq 1 is chosen from the values, one file per rule.
//!
//! A rule is a [`ScaleRule`]: a name, a sentence and a function. [`TABLE`] lists them all and feeds
//! the command line, the tests and the benches: a new rule is one file and one line in the table.
//!
//! | rule | scale | equation or source |
//! |---|---|---|
//! | `symmetric` | [`symmetric`] | eq 4: `max abs(x) / 2^(b-1)`, `max x / (2^b - 1)` unsigned |
//! | `heuristic` | [`heuristic`] | the scale of least mean squared error, by search |
//! | `sawb` | [`sawb`] | eq 5: `alpha = c1 sqrt(E[x^2]) - c2 E|x|`, published constants |
//! | `sawb_refit` | [`sawb_refit`] | the same form, constants derived here for eq 1's grid |
//! | `percentile` | [`percentile`] | the 99.9th percentile of `abs(x)` clips |
//! | `entropy` | [`entropy`] | the least Kullback-Leibler divergence of the codes from the values |

use engine::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

mod binning;
pub mod code_sweep;
pub mod entropy;
pub mod heuristic;
pub mod level_sums;
pub mod optimum;
pub mod percentile;
pub mod sample;
pub mod sawb;
pub mod sawb_refit;
pub mod symmetric;

pub use optimum::{Optimum, optimum, optimum_ref};
pub use sample::Sample;

use crate::Grid;

/// Every rule, in the order they are shown.
pub const TABLE: [ScaleRule; 6] =
    [symmetric::RULE, heuristic::RULE, sawb::RULE, sawb_refit::RULE, percentile::RULE, entropy::RULE];

/// Other names under which people know a rule.
pub const ALIASES: [(&str, &str); 3] = [("max", "symmetric"), ("max_abs", "symmetric"), ("mse", "heuristic")];

/// Every name under which [`ScaleRule::parse`] finds a rule.
pub fn names() -> impl Iterator<Item = &'static str> {
    TABLE.into_iter().map(|rule| rule.name).chain(ALIASES.into_iter().map(|(alias, _)| alias))
}

/// A way to choose the scale.
#[derive(Clone, Copy)]
pub struct ScaleRule {
    /// The name on the command line and in files.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The scale, or something that is not positive and finite if the rule has no answer.
    raw: fn(&Sample<'_>, Grid) -> f64,
}

impl ScaleRule {
    /// [`symmetric`].
    pub const SYMMETRIC: Self = symmetric::RULE;
    /// [`heuristic`].
    pub const HEURISTIC: Self = heuristic::RULE;
    /// [`sawb`].
    pub const SAWB: Self = sawb::RULE;
    /// [`sawb_refit`].
    pub const SAWB_REFIT: Self = sawb_refit::RULE;
    /// [`percentile`].
    pub const PERCENTILE: Self = percentile::RULE;
    /// [`entropy`].
    pub const ENTROPY: Self = entropy::RULE;

    /// The rule of this name, or of one of its [`ALIASES`].
    ///
    /// # Errors
    /// If there is none; the message lists those there are.
    pub fn parse(name: &str) -> Result<Self> {
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| name);
        TABLE
            .into_iter()
            .find(|rule| rule.name == name)
            .ok_or_else(|| Error::unknown_choice("scale rule", "method", name, &names().collect::<Vec<_>>()))
    }

    /// The scale of `x` on `grid`: positive and finite, whatever the values.
    ///
    /// Infinite values are left out: they clip under any scale. If the rule has no answer (SAWB's
    /// `alpha <= 0` on a tensor that is mostly one value; no values) the symmetric scale is taken, and
    /// if that has none either (all values zero, or none positive on an unsigned grid) the scale is 1,
    /// under which those values are exact.
    ///
    /// # Errors
    /// If a value is NaN.
    pub fn scale(self, x: &[f32], grid: Grid) -> Result<f32> {
        if let Some(i) = x.iter().position(|v| v.is_nan()) {
            return Err(Error::value("get_scale", format!("element {i} is NaN")));
        }
        if x.iter().all(|v| v.is_finite()) {
            return Ok(self.scale_of(&Sample::new(x), grid));
        }
        let finite: Vec<f32> = x.iter().copied().filter(|v| v.is_finite()).collect();
        Ok(self.scale_of(&Sample::new(&finite), grid))
    }

    /// [`ScaleRule::scale`] of values that are known to be finite, possibly weighted (a histogram).
    pub fn scale_of(self, x: &Sample<'_>, grid: Grid) -> f32 {
        let usable = |s: f64| s.is_finite() && s > 0.0 && (s as f32).is_finite();
        let answers = [self.raw, symmetric::RULE.raw].into_iter().map(|raw| raw(x, grid));
        let s = answers.into_iter().find(|&s| usable(s)).unwrap_or(1.0);
        (s as f32).max(f32::MIN_POSITIVE)
    }
}

impl PartialEq for ScaleRule {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for ScaleRule {}

impl std::fmt::Debug for ScaleRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::fmt::Display for ScaleRule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl std::str::FromStr for ScaleRule {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self> {
        Self::parse(name)
    }
}

impl Serialize for ScaleRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name)
    }
}

impl<'de> Deserialize<'de> for ScaleRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
