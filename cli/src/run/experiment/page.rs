//! Rows of results in a terminal, and what the run leaves for its page.

use std::path::{Path, PathBuf};

use anyhow::Result;
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::{Evaluation, Network, QuantizedNetwork};
use quant::ScaleRule;

use super::{Scores, Setup};
use crate::report::machine::Machine;
use crate::report::results::{Front, Measured, Results};
use crate::run::context::Context;
use crate::run::run_folder::RunFolder;
use crate::show::text_table::text_table;

/// One network's results.
#[derive(Clone, Debug)]
pub struct Row {
    method: String,
    measured: Measured,
}

impl Row {
    /// The float network, and the size of its file.
    ///
    /// # Errors
    /// If it cannot be written to a file.
    pub fn float(evaluation: &Evaluation, network: &Network) -> Result<Self> {
        let measured = Measured {
            name: "float".into(),
            top1: evaluation.top1(),
            simulated: None,
            agreement: None,
            integer_only: false,
            bytes: network.file_bytes()?,
            model: None,
            predictions: evaluation.answers().map(|class| class as u16).collect(),
        };
        Ok(Self { method: String::new(), measured })
    }

    /// A quantized network, what it scores and answers, and the size of its model file.
    pub fn quantized(
        what: String,
        method: ScaleRule,
        network: &QuantizedNetwork,
        (scores, integers): (Scores, &Evaluation),
        bytes: usize,
    ) -> Self {
        let measured = Measured {
            name: what,
            top1: scores.top1_int,
            simulated: Some(scores.top1_simulated),
            agreement: Some(scores.agreement),
            integer_only: network.is_integer_only(),
            bytes,
            model: None,
            predictions: integers.answers().map(|class| class as u16).collect(),
        };
        Self { method: method.to_string(), measured }
    }

    /// The same with the file in the run's `folder` that has the network's float weights and its quantization.
    pub fn with_file(mut self, folder: &RunFolder, latent: &Path) -> Self {
        self.measured.model = latent.strip_prefix(folder.folder()).ok().map(PathBuf::from);
        self
    }

    fn cells(&self) -> Vec<String> {
        let percent = |v: Option<f64>| v.map_or(String::new(), |v| format!("{v:.2}"));
        let m = &self.measured;
        vec![
            m.name.clone(),
            self.method.clone(),
            format!("{:.2}", m.top1),
            percent(m.simulated),
            percent(m.agreement),
            format!("{:.1}", m.bytes as f64 / 1024.0),
        ]
    }
}

const HEAD: [&str; 6] = ["network", "weights by", "top-1 %", "simulated %", "agreement %", "KiB"];

/// The table for a terminal. "top-1" of a quantized network is that of its integers.
pub fn table(rows: &[Row]) -> String {
    text_table(&HEAD, 2, &rows.iter().map(Row::cells).collect::<Vec<_>>())
}

/// What a run began with.
pub struct Begin<'a> {
    /// The float network's file, if it began with one.
    pub weights: Option<&'a Path>,
    /// The data set.
    pub data: &'a DataSet,
    /// The test images in use.
    pub test: &'a Loader,
}

impl<'a> From<&'a Setup> for Begin<'a> {
    fn from(setup: &'a Setup) -> Self {
        Self { weights: Some(&setup.weights), data: &setup.data, test: &setup.test }
    }
}

/// Writes `results.json` and the page of it; returns the page's path.
///
/// # Errors
/// If the folder cannot be written to.
pub fn write(
    context: &Context,
    folder: &RunFolder,
    begin: Begin<'_>,
    command: &str,
    rows: Vec<Row>,
    front: Option<Front>,
) -> Result<PathBuf> {
    let Begin { weights, data, test } = begin;
    let results = Results {
        command: command.to_owned(),
        machine: Machine::here(context),
        weights: weights.map(std::path::absolute).transpose()?,
        data: std::path::absolute(&data.folder)?,
        classes: data.classes().names().to_vec(),
        labels: test.indices.iter().map(|i| data.test.label(*i) as u16).collect(),
        networks: rows.into_iter().map(|row| row.measured).collect(),
        front,
    };
    results.write(folder)?;
    crate::report::write(context, folder)
}
