//! The accuracies that a search has measured, in its run folder.

use std::collections::HashMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::run::exit::Failure;
use crate::run::run_folder::RunFolder;

/// One line of the search's `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    /// Bits of each layer, in the network's order.
    bits: Vec<u32>,
    /// Percent of the images searched on. `{}` of an `f64` reads back to the same bits.
    accuracy: f64,
}

/// What has been measured, now or before the search was resumed.
pub(super) struct Ledger<'a> {
    folder: &'a RunFolder,
    measured: HashMap<Vec<u32>, f64>,
}

impl<'a> Ledger<'a> {
    /// Reads what the folder holds.
    pub(super) fn open(folder: &'a RunFolder) -> Result<Self> {
        folder.retain_metrics(|_| true)?; // without a line that was cut short
        let mut measured = HashMap::new();
        for line in folder.metrics()? {
            let broken = |e| Failure::BadInput(format!("{}: {e}", folder.folder().display()));
            let Measured { bits, accuracy } = serde_json::from_value(line).map_err(broken)?;
            measured.insert(bits, accuracy);
        }
        Ok(Self { folder, measured })
    }

    /// The accuracy of `bits`: on record, or measured and put on record.
    pub(super) fn accuracy(
        &mut self,
        bits: &[u32],
        measure: impl FnOnce(&[u32]) -> Result<f64>,
    ) -> Result<f64> {
        if let Some(&accuracy) = self.measured.get(bits) {
            return Ok(accuracy);
        }
        let accuracy = measure(bits)?;
        self.folder.append_metrics(&Measured { bits: bits.to_vec(), accuracy })?;
        self.measured.insert(bits.to_vec(), accuracy);
        Ok(accuracy)
    }
}
