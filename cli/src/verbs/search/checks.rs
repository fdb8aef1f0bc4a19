//! What a search refuses before it begins, and what was asked for in vain.

use anyhow::Result;
use quant::{Step, mixed};

use super::SearchArgs;
use super::costs::Costs;
use crate::run::exit::Failure;

impl SearchArgs {
    /// Refuses what contradicts itself, or has no meaning.
    ///
    /// # Errors
    /// Naming the flag.
    pub(super) fn check(&self) -> Result<()> {
        let refuse = |text: String| Err(Failure::Usage(text).into());
        for (flag, percent) in [("--floor", Some(self.floor)), ("--search-floor", self.search_floor)] {
            if let Some(percent) = percent.filter(|p| !(0.0..=100.0).contains(p)) {
                return refuse(format!("{flag} {percent}: expected 0 to 100 percent"));
            }
        }
        let of_learning =
            [("--search-floor", self.search_floor.is_some()), ("--iterations", self.iterations.is_some())];
        if let Some((flag, _)) = of_learning.iter().find(|(_, given)| *given && !self.correction.learns()) {
            return refuse(format!("{flag}: none of --correction {} learns", self.correction));
        }
        if let Some(size) = self.at_most.filter(|size| !(*size > 0.0 && size.is_finite())) {
            return refuse(format!("--at-most {size}: expected a size above 0"));
        }
        if self.min_bits > self.max_bits
            || [self.images, self.calibration_images, self.evaluations].contains(&0)
        {
            let text = "--min-bits must not exceed --max-bits; --images, --calibration-images and --evaluations must be at least 1";
            return refuse(text.into());
        }
        if !self.correction.steps().contains(&Step::BatchNorm) {
            let text =
                "--correction must contain batch_norm: candidates are measured with corrected batch norms";
            return refuse(text.into());
        }
        Ok(())
    }

    /// Whether the searcher asks for what each layer costs.
    pub(super) fn plans(&self) -> bool {
        mixed::searcher(&self.searcher).is_some_and(|searcher| searcher.plans())
    }

    /// What was asked for and changes nothing, and why.
    pub(super) fn idle(&self) -> Vec<String> {
        let mut idle = self.correction.idle(self.weight_granularity);
        if self.costs != Costs::Measured && !self.plans() {
            idle.push(format!(
                "--costs has no effect: `{}` does not plan with what a layer costs",
                self.searcher
            ));
        }
        idle
    }
}
