//! The measured networks of all runs, as the page names them: each beside the float network of its own run.

use super::past_run::PastRun;
use super::results::{Measured, Results};

/// A measured network.
pub struct Shown<'a> {
    /// `PTQ W4A4`, and the run where there are several.
    pub name: String,
    /// What was measured.
    pub measured: &'a Measured,
    /// The float network that it is compared with: its own run's, on the same images.
    pub float: Option<&'a Measured>,
    /// Its run's results.
    pub results: &'a Results,
}

impl Shown<'_> {
    /// Points above its float network; `None` for a float network, or where there is none.
    pub fn points(&self) -> Option<f64> {
        self.float.filter(|_| self.measured.is_quantized()).map(|float| self.measured.top1 - float.top1)
    }
}

/// All of them. A float network that several runs began with, and measured on the same images, comes once; where there are
/// several, each says of which run it is.
pub fn networks(runs: &[PastRun]) -> Vec<Shown<'_>> {
    let mut shown: Vec<Shown<'_>> = Vec::new();
    for run in runs {
        let Some(results) = &run.results else { continue };
        let float = results.networks.iter().find(|m| !m.is_quantized());
        for measured in &results.networks {
            let known = |other: &Shown<'_>| {
                !other.measured.is_quantized() && other.measured.predictions == measured.predictions
            };
            if !measured.is_quantized() && shown.iter().any(known) {
                continue;
            }
            let name = run.label(&measured.name, runs.len() == 1);
            shown.push(Shown { name, measured, float, results });
        }
    }
    let mut floats: Vec<_> = shown.iter_mut().filter(|other| !other.measured.is_quantized()).collect();
    if let [only] = floats.as_mut_slice() {
        only.name.clone_from(&only.measured.name);
    }
    shown
}

/// The numbers of images that accuracies are of, each once, in order.
pub fn image_counts(runs: &[PastRun]) -> Vec<usize> {
    let of_run = |run: &PastRun| Some(run.results.as_ref()?.labels.len()).filter(|images| *images > 0);
    let mut counts: Vec<usize> = runs.iter().filter_map(of_run).collect();
    counts.sort_unstable();
    counts.dedup();
    counts
}
