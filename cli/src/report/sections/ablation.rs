//! What each correction adds to a quantization without training.

use crate::report::ablation::Ablation;
use crate::report::past_run::PastRun;
use crate::report::thousands;
use crate::show::report::Report;

/// A table for each run that measured it. There is no such part otherwise: the runs of one flag are not missed on other
/// pages.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    let measured: Vec<(&PastRun, &Ablation)> =
        runs.iter().filter_map(|run| Some((run, run.ablation.as_ref()?))).collect();
    if measured.is_empty() {
        return;
    }
    page.heading("What each correction adds");
    for (run, ablation) in measured {
        if runs.len() > 1 {
            page.subheading(&run.label(&format!("PTQ {}", ablation.bits), false));
        }
        page.table(&Ablation::HEAD, &ablation.table());
        page.note(&format!(
            "Of {} test images, in integers. alone: with this correction only, and the points that it adds to none. in \
             sequence: with all up to this one, and the points that it adds to those before it.",
            thousands(ablation.images)
        ));
    }
}
