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
    /// What was measured.
    of: Of,
    /// Percent of the images searched on. `{}` of an `f64` reads back to the same bits.
    top1_val: f64,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    /// Rounded weights with corrected batch norms.
    Candidate,
    /// The network with all corrections that were asked for.
    Corrected,
}

/// What has been measured, now or before the search was resumed.
pub(super) struct Ledger<'a> {
    folder: &'a RunFolder,
    measured: HashMap<(Of, Vec<u32>), f64>,
}

impl<'a> Ledger<'a> {
    /// Reads what the folder holds.
    pub(super) fn open(folder: &'a RunFolder) -> Result<Self> {
        folder.retain_metrics(|_| true)?; // without a line that was cut short
        let mut measured = HashMap::new();
        for line in folder.metrics()? {
            let broken = |e| Failure::BadInput(format!("{}: {e}", folder.folder().display()));
            let Measured { bits, of, top1_val } = serde_json::from_value(line).map_err(broken)?;
            measured.insert((of, bits), top1_val);
        }
        Ok(Self { folder, measured })
    }

    /// The accuracy of `bits`: on record, or measured and put on record.
    pub(super) fn accuracy(
        &mut self,
        of: Of,
        bits: &[u32],
        measure: impl FnOnce(&[u32]) -> Result<f64>,
    ) -> Result<f64> {
        if let Some(&top1_val) = self.measured.get(&(of, bits.to_vec())) {
            return Ok(top1_val);
        }
        let top1_val = measure(bits)?;
        self.folder.append_metrics(&Measured { bits: bits.to_vec(), of, top1_val })?;
        self.measured.insert((of, bits.to_vec()), top1_val);
        Ok(top1_val)
    }
}
