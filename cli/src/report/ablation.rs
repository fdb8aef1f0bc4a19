//! What `ptq --ablation` leaves in its folder: `ablation.json`, and its table.

use std::path::Path;

use anyhow::Result;
use quant::{ScaleRule, Sequence, Widths};
use serde::{Deserialize, Serialize};

use super::results::read_json;
use crate::run::run_folder::RunFolder;

/// Name of the file.
pub const NAME: &str = "ablation.json";

/// What each correction adds to a quantization: accuracies in integers, in percent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ablation {
    /// Widths of weights and activations.
    pub bits: Widths,
    /// The rule that chooses the scale of weights.
    pub method: ScaleRule,
    /// The corrections in their order.
    pub correction: Sequence,
    /// Test images.
    pub images: usize,
    /// The run's seed.
    pub seed: u64,
    /// Of the float network.
    pub top1_float: f64,
    /// Quantized without corrections.
    pub top1_none: f64,
    /// One line for each correction.
    #[serde(rename = "ablation")]
    pub lines: Vec<Line>,
}

/// One correction.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Its name.
    pub correction: String,
    /// With this correction only.
    pub alone: f64,
    /// Points that adds to none.
    pub alone_adds: f64,
    /// With all corrections up to this one.
    pub in_sequence: f64,
    /// Points this one adds to those before it.
    pub adds: f64,
}

impl Ablation {
    /// Heads of the columns of [`table`](Self::table).
    pub const HEAD: [&str; 5] = ["correction", "alone %", "adds", "in sequence %", "adds"];

    /// The float network, the quantized one without corrections, and a row for each of them.
    pub fn table(&self) -> Vec<Vec<String>> {
        let point = |name: &str, top1: f64| {
            let top1 = format!("{top1:.2}");
            vec![name.to_string(), top1.clone(), String::new(), top1, String::new()]
        };
        let line = |line: &Line| {
            let points = |v: f64| format!("{v:+.2}");
            vec![
                line.correction.clone(),
                format!("{:.2}", line.alone),
                points(line.alone_adds),
                format!("{:.2}", line.in_sequence),
                points(line.adds),
            ]
        };
        let before = [point("(float)", self.top1_float), point("(none)", self.top1_none)];
        before.into_iter().chain(self.lines.iter().map(line)).collect()
    }

    /// Writes the file.
    ///
    /// # Errors
    /// If the folder cannot be written to.
    pub fn write(&self, folder: &RunFolder) -> Result<()> {
        folder.write(NAME, serde_json::to_string_pretty(self)?.as_bytes()).map(|_| ())
    }

    /// The ablation in `folder`; `None` if the run measured none, or has not come to its end.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        read_json(&folder.join(NAME))
    }
}
