//! The accuracies that a search has measured, in its run folder.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use quant::mixed::NO_NETWORK;
use serde::{Deserialize, Serialize};

use crate::run::exit::Failure;
use crate::run::run_folder::{METRICS, RunFolder, metrics_in};

/// One line of the search's `metrics.jsonl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Measured {
    /// Bits of each layer, in the network's order.
    bits: Vec<u32>,
    /// What was measured.
    of: Of,
    /// Percent of the images searched on, -1 for bits that [no network](NO_NETWORK) has. `{}` of an `f64` reads back to the same
    /// bits.
    top1_val: f64,
}

impl Measured {
    /// A line about an accuracy.
    fn new(bits: &[u32], of: Of, accuracy: f64) -> Self {
        Self { bits: bits.to_vec(), of, top1_val: if accuracy > NO_NETWORK { accuracy } else { -1.0 } }
    }

    /// The accuracy that the line is about.
    fn accuracy(&self) -> f64 {
        if self.top1_val < 0.0 { NO_NETWORK } else { self.top1_val }
    }
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
#[derive(Clone)]
pub(super) struct Ledger<'a> {
    folder: &'a RunFolder,
    measured: HashMap<(Of, Vec<u32>), f64>,
}

impl<'a> Ledger<'a> {
    /// Reads what the folder holds.
    pub(super) fn open(folder: &'a RunFolder) -> Result<Self> {
        folder.retain_metrics(|_| true)?; // without a line that was cut short
        let mut ledger = Self { folder, measured: HashMap::new() };
        for line in lines(folder.folder())? {
            let accuracy = line.accuracy();
            ledger.measured.insert((line.of, line.bits), accuracy);
        }
        Ok(ledger)
    }

    /// Takes in what other searches have measured, and puts it on record; nothing of it if one of them contradicts another, so
    /// that the folder of a merge that was refused may be used again.
    pub(super) fn take_in(&mut self, others: &[PathBuf]) -> Result<()> {
        let (mut known, mut new) = (self.measured.clone(), Vec::new());
        for other in others {
            for line in lines(other)? {
                let (bits, there) = (&line.bits, line.accuracy());
                let known = *known.entry((line.of, bits.clone())).or_insert(there);
                if known.to_bits() != there.to_bits() {
                    let text = format!(
                        "{}: {bits:?} gave {there}% there and {known}% here; shards must run the same version on machines that \
                         compute alike",
                        other.display()
                    );
                    return Err(Failure::BadInput(text).into());
                }
                new.push(line);
            }
        }
        for line in new {
            self.accuracy(line.of, &line.bits, |_| Ok(line.accuracy()))?;
        }
        Ok(())
    }

    /// The accuracy of `bits`, if it is on record.
    pub(super) fn known(&self, of: Of, bits: &[u32]) -> Option<f64> {
        self.measured.get(&(of, bits.to_vec())).copied()
    }

    /// The accuracy of `bits`: on record, or measured and put on record.
    pub(super) fn accuracy(
        &mut self,
        of: Of,
        bits: &[u32],
        measure: impl FnOnce(&[u32]) -> Result<f64>,
    ) -> Result<f64> {
        if let Some(accuracy) = self.known(of, bits) {
            return Ok(accuracy);
        }
        let accuracy = measure(bits)?;
        self.folder.append_metrics(&Measured::new(bits, of, accuracy))?;
        self.measured.insert((of, bits.to_vec()), accuracy);
        Ok(accuracy)
    }
}

/// The measurements in a run's folder.
fn lines(folder: &Path) -> Result<Vec<Measured>> {
    let path = folder.join(METRICS);
    let broken = |e| Failure::BadInput(format!("{}: {e}", path.display()));
    let lines = metrics_in(&path)?.into_iter().map(|line| Ok(serde_json::from_value(line).map_err(broken)?));
    lines.collect()
}
