//! Rows of results, in a terminal and on the run's page.

use std::path::PathBuf;

use anyhow::Result;
use models::Network;
use quant::ScaleRule;

use super::Scores;
use crate::run::run_folder::{REPORT, RunFolder};
use crate::show::report::Report;
use crate::show::text_table::text_table;

/// One network's results.
#[derive(Clone, Debug)]
pub struct Row {
    what: String,
    method: String,
    top1: f64,
    scores: Option<Scores>,
    bytes: usize,
}

impl Row {
    /// The float network.
    pub fn float(top1: f64, network: &Network) -> Self {
        let bytes = network.params.iter().map(|p| 4 * p.value.len()).sum();
        Self { what: "float".into(), method: String::new(), top1, scores: None, bytes }
    }

    /// A quantized network, and the size of its model file.
    pub fn quantized(what: String, method: ScaleRule, scores: Scores, bytes: usize) -> Self {
        Self { what, method: method.to_string(), top1: scores.top1_int, scores: Some(scores), bytes }
    }

    fn cells(&self) -> Vec<String> {
        let of = |f: fn(&Scores) -> f64, digits: usize| {
            self.scores.as_ref().map_or(String::new(), |s| format!("{:.digits$}", f(s)))
        };
        vec![
            self.what.clone(),
            self.method.clone(),
            format!("{:.2}", self.top1),
            of(|s| s.top1_simulated, 2),
            of(|s| s.agreement, 2),
            format!("{:.1}", self.bytes as f64 / 1024.0),
        ]
    }
}

const HEAD: [&str; 6] = ["network", "weights by", "top-1 %", "simulated %", "agreement %", "KiB"];

/// The table for a terminal. "top-1" of a quantized network is that of its integers.
pub fn table(rows: &[Row]) -> String {
    text_table(&HEAD, 2, &rows.iter().map(Row::cells).collect::<Vec<_>>())
}

/// Writes `report.html`: the command, the table, the plots.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(
    folder: &RunFolder,
    title: &str,
    command: &str,
    rows: &[Row],
    plots: &[String],
) -> Result<PathBuf> {
    let mut report = Report::new(title);
    report.verbatim(command);
    report.table(&HEAD, &rows.iter().map(Row::cells).collect::<Vec<_>>());
    report.text(
        "top-1: of the float network, or of the integers that the model file computes. simulated: of the same quantized network in floats. \
         agreement: images that both give the same class. KiB: the model file; of the float network, its parameters.",
    );
    plots.iter().for_each(|plot| report.plot(plot));
    folder.write(REPORT, report.finish().as_bytes())
}
