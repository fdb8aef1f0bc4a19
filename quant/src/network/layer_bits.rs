//! Bits of single layers, as a person writes them.

use std::fmt;
use std::str::FromStr;

use engine::nearest::did_you_mean;
use engine::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Plan, Widths};

/// Bits of weights of the layers whose names match, in the order in which they apply: `layer3.*=2,layer3.2.conv2=1`.
///
/// `*` stands for any text, so that `*=2` is every layer. The number is the bits of the layer's weights, or both widths
/// of the layer: `conv1=W5A8`. Weights of 0 bits have one code, 0: the layer is dropped, and all that is left of it is what the batch
/// norm behind it makes of zeros, a constant for each channel (the mean of what it was, once corrected or trained). Dropping the
/// last convolution of a residual branch drops the branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LayerBits(Vec<(String, Bits)>);

/// What one entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    /// Of the weights; the layer's input keeps what it had.
    Weights(u32),
    /// Of weights and input.
    Both(Widths),
}

impl LayerBits {
    /// For each layer the bits of its weights, and those of its input where they are not to stay what they are.
    pub fn of<'a>(layers: impl IntoIterator<Item = (&'a str, u32, Option<u32>)>) -> Self {
        let bits = |w, a: Option<u32>| a.map_or(Bits::Weights(w), |a| Bits::Both(Widths { w, a }));
        Self(layers.into_iter().map(|(layer, w, a)| (layer.to_owned(), bits(w, a))).collect())
    }

    /// The most bits of any layer's weights.
    pub fn most(&self) -> u32 {
        let weights = |bits: &Bits| match bits {
            Bits::Weights(w) => *w,
            Bits::Both(widths) => widths.w,
        };
        self.0.iter().map(|(_, bits)| weights(bits)).max().unwrap_or(0)
    }

    /// Changes the widths of `plan`. The input of a layer that was float gets `a` bits.
    ///
    /// # Errors
    /// If a name matches no layer.
    pub fn apply(&self, plan: &mut Plan, a: u32) -> Result<()> {
        for (pattern, bits) in &self.0 {
            let names: Vec<String> = plan.layers().iter().map(|(name, _)| name.clone()).collect();
            let matching: Vec<&String> = names.iter().filter(|name| matches(pattern, name)).collect();
            if matching.is_empty() {
                return Err(unknown(pattern, &names));
            }
            for name in matching {
                let widths = match *bits {
                    Bits::Weights(w) => Widths { w, a: plan.get(name).map_or(a, |widths| widths.a) },
                    Bits::Both(widths) => widths,
                };
                plan.set(name, Some(widths))?;
            }
        }
        Ok(())
    }
}

/// A pattern that matches none of `names`. Near it may be one of them, or a group: `layer1.*`, `layer1.0.*`.
fn unknown(pattern: &str, names: &[String]) -> Error {
    let groups =
        names.iter().flat_map(|name| name.match_indices('.').map(|(i, _)| format!("{}.*", &name[..i])));
    let known: Vec<String> = names.iter().cloned().chain(groups).collect();
    let near = did_you_mean(pattern, &known.iter().map(String::as_str).collect::<Vec<_>>());
    let hint = format!("{near}; layers with weights: {}", names.join(", "));
    Error::Unknown { kind: "layer", name: pattern.to_owned(), hint }
}

/// Whether `name` is `pattern`, in which each `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((head, tail)) => name.strip_prefix(head).is_some_and(|rest| {
            (0..=rest.len()).any(|i| rest.is_char_boundary(i) && matches(tail, &rest[i..]))
        }),
    }
}

impl FromStr for LayerBits {
    type Err = Error;

    /// ```
    /// use quant::LayerBits;
    /// assert!("layer3.*=2,fc=8,conv1=W5A8".parse::<LayerBits>().is_ok());
    /// assert!("layer3.2.*=0".parse::<LayerBits>().is_ok());
    /// assert!("layer3.2.*=17".parse::<LayerBits>().is_err());
    /// assert!("layer3".parse::<LayerBits>().is_err());
    /// ```
    fn from_str(text: &str) -> Result<Self> {
        let entry = |entry: &str| {
            let form = || {
                Error::value("layer bits", format!("`{entry}` is not of the form LAYER=BITS, such as fc=4"))
            };
            let (layer, bits) = entry.trim().split_once('=').ok_or_else(form)?;
            let bits = match bits.parse() {
                Ok(0) => Bits::Weights(0),
                Ok(w) => Bits::Weights(Widths::new(w, 1)?.w),
                Err(_) => Bits::Both(bits.parse().map_err(|_| form())?),
            };
            Ok((layer.to_owned(), bits))
        };
        text.split(',').map(entry).collect::<Result<Vec<_>>>().map(Self)
    }
}

impl fmt::Display for LayerBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (layer, bits)) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match bits {
                Bits::Weights(w) => write!(f, "{comma}{layer}={w}")?,
                // Without bits nothing is computed with the input, whatever its width.
                Bits::Both(Widths { w: 0, .. }) => write!(f, "{comma}{layer}=0")?,
                Bits::Both(widths) => write!(f, "{comma}{layer}={widths}")?,
            }
        }
        Ok(())
    }
}

/// One after the other.
impl FromIterator<LayerBits> for LayerBits {
    fn from_iter<I: IntoIterator<Item = LayerBits>>(all: I) -> Self {
        Self(all.into_iter().flat_map(|bits| bits.0).collect())
    }
}

impl TryFrom<String> for LayerBits {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<LayerBits> for String {
    fn from(bits: LayerBits) -> Self {
        bits.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_is_any_text() {
        for (pattern, name, yes) in [
            ("*", "conv1", true),
            ("layer3.*", "layer3.0.conv1", true),
            ("layer3.*", "layer2.0.conv1", false),
            ("*.conv2", "layer1.1.conv2", true),
            ("*.conv2", "layer1.1.conv1", false),
            ("layer*.0.*2", "layer1.0.conv2", true),
            ("fc", "fc", true),
            ("fc", "fc2", false),
            ("", "fc", false),
        ] {
            assert_eq!(matches(pattern, name), yes, "{pattern} {name}");
        }
    }

    #[test]
    fn text_is_read_as_it_is_written() {
        let text = "*=2,layer3.*=1,layer3.2.*=0,conv1=W5A8";
        let bits: LayerBits = text.parse().unwrap();
        assert_eq!(bits.to_string(), text);
        assert_eq!(bits.most(), 5);
        let json = serde_json::to_string(&bits).unwrap();
        assert_eq!(serde_json::from_str::<LayerBits>(&json).unwrap(), bits);
        // Whatever is made can be read.
        assert_eq!(LayerBits::of([("a", 0, Some(4)), ("b", 2, None)]).to_string(), "a=0,b=2");
        for bad in ["", "fc", "fc=", "fc=17", "fc=-1", "fc=W0A8", "fc=four", "fc=2,"] {
            assert!(bad.parse::<LayerBits>().is_err(), "{bad}");
        }
    }
}
