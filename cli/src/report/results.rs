//! What a verb leaves in its folder for the page: `results.json`.

use std::fmt::Display;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use models::data::classes::Classes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::machine::Machine;
use crate::run::exit::Failure;
use crate::run::run_folder::RunFolder;
use crate::show::front::Bound;
use crate::show::objective::Objective;

/// Name of the file.
pub const NAME: &str = "results.json";

/// The end of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// The command that repeats it.
    pub command: String,
    /// Where it ran.
    pub machine: Machine,
    /// The float network that it began with; `None` if it began with none.
    pub weights: Option<PathBuf>,
    /// The folder of the data set.
    pub data: PathBuf,
    /// Names of the classes; none in results of earlier versions, which knew CIFAR-10 only.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Classes of the test images, in their order.
    pub labels: Vec<u16>,
    /// What was measured on them.
    pub networks: Vec<Measured>,
    /// What a search has found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub front: Option<Front>,
}

/// One network on the test images.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// `float`, `PTQ W4A4`, ...
    pub name: String,
    /// Percent; of a quantized network, in integers.
    pub top1: f64,
    /// Percent of the same quantized network simulated in floats; `None`: it is not quantized.
    pub simulated: Option<f64>,
    /// Percent of the images that integers and simulation give the same class.
    pub agreement: Option<f64>,
    /// Whether no float is left between image and logits.
    pub integer_only: bool,
    /// Of the model file; of a float network, of a file of its floats.
    pub bytes: usize,
    /// The file in the run's folder that has its float weights and its quantization.
    pub model: Option<PathBuf>,
    /// Its answers, in the order of the images.
    pub predictions: Vec<u16>,
}

impl Measured {
    /// Whether it is a quantized network.
    pub fn is_quantized(&self) -> bool {
        self.simulated.is_some()
    }
}

/// What a search for the bits of each layer has found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Front {
    /// What was to be small.
    #[serde(default)]
    pub minimize: Objective,
    /// What it was to keep to.
    #[serde(flatten)]
    pub bound: Bound,
    /// Names of the layers that the bits are of.
    pub layers: Vec<String>,
    /// Networks not beaten in both size and accuracy, by size.
    pub points: Vec<FrontPoint>,
    /// The accuracy that candidates aimed at, where corrections that learn were still to come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub search_floor: Option<f64>,
    /// Networks of the front that were made with all corrections, by size.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finished: Vec<FinishedPoint>,
}

/// A network of the front with all corrections.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FinishedPoint {
    /// Of its weights.
    pub bytes: usize,
    /// Bit operations of an image.
    pub operations: usize,
    /// Percent of the images searched on, in integers.
    pub top1_val: f64,
    /// Of each layer.
    pub bits: Vec<String>,
}

/// A network of the front.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrontPoint {
    /// Of its weights.
    pub bytes: usize,
    /// Bit operations of an image; 0 in results of earlier versions, which did not count them.
    #[serde(default)]
    pub operations: usize,
    /// Percent of the images searched on.
    pub top1_val: f64,
    /// Percent of the images that the search has not seen.
    pub top1_test: f64,
    /// Of each layer, as text: a number, or the widths of weights and activations.
    pub bits: Vec<String>,
}

impl Results {
    /// What the labels mean.
    pub fn classes(&self) -> Classes {
        if self.classes.is_empty() { Classes::cifar10() } else { Classes::new(self.classes.iter().cloned()) }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        folder.write(NAME, serde_json::to_string(self)?.as_bytes()).map(|_| ())
    }

    /// The results in `folder`; `None` if the run has not come to its end, or an earlier version ran it.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(NAME);
        let Some(results) = read_json::<Self>(&path)? else { return Ok(None) };
        let images = results.labels.len();
        if let Some(odd) =
            results.networks.iter().find(|m| !m.predictions.is_empty() && m.predictions.len() != images)
        {
            let (name, n) = (&odd.name, odd.predictions.len());
            return Err(damaged(&path, format_args!("{n} answers of `{name}` for {images} images")).into());
        }
        Ok(Some(results))
    }
}

/// What a verb has left at `path`; `None` if there is nothing.
///
/// # Errors
/// If the file is damaged.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let text = match fs::read_to_string(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|e| models::Error::io("read", path, e))?,
    };
    Ok(Some(serde_json::from_str(&text).map_err(|e| damaged(path, e))?))
}

fn damaged(path: &Path, detail: impl Display) -> Failure {
    Failure::BadInput(format!("{}: {detail}; run the command again", path.display()))
}
