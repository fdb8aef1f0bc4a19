//! Checkpoints: named tensors and metadata, whatever file they came from or go to.
//!
//! On disk a checkpoint has PyTorch's names and layouts (convolution weights `[O, I, KH, KW]`), so that other
//! tools load it; in memory it has the engine's (`[O, KH, KW, I]`). [`open`](super::open) reads one of any format;
//! `Checkpoint::write` writes a safetensors file. The metadata is part of the network: without
//! the normalisation it was trained with, a network's weights are worth little. The keys in use:
//!
//! | key | value | example |
//! |---|---|---|
//! | `arch` | name of the network | `resnet20` |
//! | `shortcut` | ResNet's option, `A` or `B` | `B` |
//! | `mean`, `std` | normalisation per channel of pixels in `[0, 1]` | `0.4914,0.4822,0.4465` |
//! | `classes` | names of the classes, where they are [not the usual ones](crate::data::classes) | `["cat","dog"]` |
//! | `seed`, `epoch`, `step` | where a run stands | `17` |
//! | `bits`, `policy`, `method` | how a network was quantized | `W4A4` |
//! | `packed_weights` | which weights are [stored as integers](super::packed) | |
//! | `test_accuracy` | percent of `test_images`, by default of the full test set | `92.97` |

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::str::FromStr;

use engine::{Shape, Tensor};

use super::layout;
use crate::data::augment::Normalization;
use crate::{Error, Result};

/// Named tensors in the engine's layouts, and metadata.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// Where it was read from; named in errors.
    pub path: PathBuf,
    /// In the file's order, with PyTorch's names (`layer1.0.conv1.weight`) and the engine's layouts.
    pub tensors: Vec<(String, Tensor)>,
    /// Text under text.
    pub metadata: BTreeMap<String, String>,
    /// What the user should know about how it was read.
    pub notes: Vec<String>,
}

impl Checkpoint {
    /// The tensors of these names and shapes (engine's layouts), in this order; the file must hold these and
    /// no others.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, has another shape (both are printed as on disk), or is not
    /// expected.
    pub fn into_expected(mut self, expected: &[(String, Shape)]) -> Result<Vec<(String, Tensor)>> {
        let path = self.path.clone();
        let on_disk = |shape: Shape| layout::torch_shape(shape).to_string();
        let mut found = Vec::with_capacity(expected.len());
        for (name, shape) in expected {
            let Some(place) = self.tensors.iter().position(|(n, _)| n == name) else {
                return Err(Error::MissingTensor { path, name: name.clone(), expected: on_disk(*shape) });
            };
            let (name, tensor) = self.tensors.swap_remove(place);
            if tensor.shape() != *shape {
                let (found, expected) = (on_disk(tensor.shape()), on_disk(*shape));
                return Err(Error::TensorShape { path, name, found, expected });
            }
            found.push((name, tensor));
        }
        // swap_remove disturbs the order: name the first in the alphabet.
        match self.tensors.into_iter().min_by(|a, b| a.0.cmp(&b.0)) {
            Some((name, tensor)) => Err(Error::ExtraTensor { path, name, found: on_disk(tensor.shape()) }),
            None => Ok(found),
        }
    }

    /// The tensor of this name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }

    /// Removes and returns the tensors whose names begin with `prefix`, without it: a run's checkpoint keeps
    /// the optimizer's state under `momentum.`, say.
    pub fn split_off(&mut self, prefix: &str) -> Vec<(String, Tensor)> {
        let (with, without) =
            std::mem::take(&mut self.tensors).into_iter().partition(|(name, _)| name.starts_with(prefix));
        self.tensors = without;
        let with: Vec<(String, Tensor)> = with;
        with.into_iter().map(|(name, tensor)| (name[prefix.len()..].to_string(), tensor)).collect()
    }

    /// The metadata under `key`, parsed; `None` if the key is absent.
    ///
    /// # Errors
    /// If the text is not a `T`.
    pub fn get<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        self.metadata
            .get(key)
            .map(|text| {
                let kind = std::any::type_name::<T>().rsplit("::").next().unwrap_or_default();
                text.parse().map_err(|_| {
                    Error::malformed(&self.path, format!("metadata `{key}` is `{text}`, expected {kind}"))
                })
            })
            .transpose()
    }

    /// Sets the metadata under `key`.
    pub fn set(&mut self, key: &str, value: impl ToString) {
        self.metadata.insert(key.to_string(), value.to_string());
    }

    /// The normalisation in the metadata (`mean` and `std`), if it is there.
    ///
    /// # Errors
    /// If only one of the two is there, or they are not three numbers each.
    pub fn normalization(&self) -> Result<Option<Normalization>> {
        match (self.metadata.get("mean"), self.metadata.get("std")) {
            (None, None) => Ok(None),
            (Some(mean), Some(std)) => format!("{mean}/{std}")
                .parse()
                .map(Some)
                .map_err(|e: Error| Error::malformed(&self.path, e.to_string())),
            _ => Err(Error::malformed(&self.path, "metadata holds only one of `mean` and `std`")),
        }
    }

    /// Stores the normalisation under `mean` and `std`.
    pub fn set_normalization(&mut self, normalization: &Normalization) {
        let text = normalization.to_string();
        let (mean, std) = text.split_once('/').expect("mean/std");
        self.set("mean", mean);
        self.set("std", std);
    }
}

#[cfg(test)]
mod tests;
