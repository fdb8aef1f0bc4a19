//! Bits of weights and activations.

use std::fmt;
use std::str::FromStr;

use engine::{Error, Result};
use serde::{Deserialize, Serialize};

/// Bits of weights and activations, written `W4A8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Widths {
    /// Bits of a weight, 1 to 16; 0 in the [plan](super::Plan) of a network that [drops](super::LayerBits) the layer.
    pub w: u32,
    /// Bits of an activation, 1 to 16.
    pub a: u32,
}

impl Widths {
    /// `w` bits for weights, `a` for activations.
    ///
    /// # Errors
    /// Unless both are 1 to 16.
    pub fn new(w: u32, a: u32) -> Result<Self> {
        for (what, bits) in [("weights", w), ("activations", a)] {
            if !(1..=16).contains(&bits) {
                return Err(Error::value("bits", format!("{what} take 1 to 16 bits, got {bits}")));
            }
        }
        Ok(Self { w, a })
    }
}

impl FromStr for Widths {
    type Err = Error;

    /// ```
    /// use quant::Widths;
    /// assert_eq!("W4A8".parse::<Widths>()?, Widths { w: 4, a: 8 });
    /// assert!("W0A8".parse::<Widths>().is_err());
    /// assert!("4-8".parse::<Widths>().is_err());
    /// # Ok::<(), engine::Error>(())
    /// ```
    fn from_str(text: &str) -> Result<Self> {
        let upper = text.to_ascii_uppercase();
        let parts = upper.strip_prefix('W').and_then(|rest| rest.split_once('A'));
        let numbers = parts.and_then(|(w, a)| Some((w.parse().ok()?, a.parse().ok()?)));
        let Some((w, a)) = numbers else {
            return Err(Error::value("bits", format!("`{text}` is not of the form W4A8")));
        };
        Self::new(w, a)
    }
}

impl fmt::Display for Widths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "W{}A{}", self.w, self.a)
    }
}

impl From<Widths> for String {
    fn from(widths: Widths) -> Self {
        widths.to_string()
    }
}

impl TryFrom<String> for Widths {
    type Error = Error;
    /// As a plan has it: a layer that is dropped has `W0A8`.
    ///
    /// ```
    /// use quant::Widths;
    /// assert_eq!(Widths::try_from("W0A8".to_owned())?, Widths { w: 0, a: 8 });
    /// assert_eq!(Widths::try_from("W04A8".to_owned())?, Widths { w: 4, a: 8 });
    /// # Ok::<(), engine::Error>(())
    /// ```
    fn try_from(text: String) -> Result<Self> {
        match text.strip_prefix("W0A") {
            Some(rest) => Ok(Self { w: 0, ..format!("W1A{rest}").parse()? }),
            None => text.parse(),
        }
    }
}
