//! The choices of post-training quantization, by their names.

use std::fmt;
use std::str::FromStr;

use engine::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::ScaleRule;

/// How the range of activations is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ActivationRule {
    /// From the histogram of all calibration images, by a scale rule: `symmetric` takes the largest value.
    Scale(ScaleRule),
    /// The moving average of each batch's largest value, as in training.
    MovingAverage,
}

impl ActivationRule {
    /// The rule of a batch's range in training.
    pub fn scale_rule(self) -> ScaleRule {
        match self {
            Self::Scale(rule) => rule,
            Self::MovingAverage => ScaleRule::SYMMETRIC,
        }
    }
}

impl FromStr for ActivationRule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Ok(match text {
            "moving_average" => Self::MovingAverage,
            name => Self::Scale(ScaleRule::parse(name).map_err(|_| {
                let known: Vec<_> = std::iter::once("moving_average").chain(crate::scale::names()).collect();
                Error::unknown_choice("activation rule", "activation rule", name, &known)
            })?),
        })
    }
}

impl fmt::Display for ActivationRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scale(rule) => rule.fmt(f),
            Self::MovingAverage => f.write_str("moving_average"),
        }
    }
}

impl From<ActivationRule> for String {
    fn from(rule: ActivationRule) -> Self {
        rule.to_string()
    }
}

impl TryFrom<String> for ActivationRule {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

/// What [`Reference::correct`](super::Reference::correct) changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction {
    /// Nothing.
    None,
    /// The means.
    Bias,
    /// The means and the variances.
    BatchNorm,
}

impl FromStr for Correction {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => Ok(Self::None),
            "bias" => Ok(Self::Bias),
            "batch_norm" => Ok(Self::BatchNorm),
            _ => {
                let known = ["none", "bias", "batch_norm"];
                Err(Error::unknown_choice("correction", "correction", text, &known))
            }
        }
    }
}

impl fmt::Display for Correction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Bias => "bias",
            Self::BatchNorm => "batch_norm",
        })
    }
}
