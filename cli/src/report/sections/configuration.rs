//! What was asked, and where it ran.

use crate::report::past_run::PastRun;
use crate::show::report::Report;

/// Command, machine and settings of each run.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    page.heading("Configuration and machine");
    for run in runs {
        page.subheading(&run.name);
        match &run.results {
            Some(results) => {
                page.verbatim(&results.command);
                page.text(&results.machine.describe());
            }
            None if run.config.is_empty() => {
                page.absent("Only the metrics of this run are here; its folder has the settings.");
            }
            None => page.absent(&format!(
                "This run has not come to its end, or an earlier version ran it: the machine is not known. `cli {}` notes it at its end.",
                run.verb
            )),
        }
        if !run.config.is_empty() {
            page.details("All settings", false, |page| page.verbatim(&run.config));
        }
    }
}
