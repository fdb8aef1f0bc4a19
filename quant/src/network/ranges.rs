//! The ranges of a calibrated network's activations.

use std::collections::BTreeMap;

use engine::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::{QParams, Range};

/// The range of the activations that enter each quantized layer, by layer name: the state of a quantized
/// network beside its weights.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ranges(pub BTreeMap<String, Range>);

impl Ranges {
    /// The quantizer of the activations that enter `layer`.
    ///
    /// # Errors
    /// If the layer has no range: it was not calibrated.
    pub fn params(&self, layer: &str, bits: u32) -> Result<QParams> {
        match self.0.get(layer) {
            Some(range) => range.params(bits),
            None => Err(Error::Unknown {
                kind: "activation range of layer",
                name: layer.to_owned(),
                hint: "; calibrate first".to_owned(),
            }),
        }
    }
}
