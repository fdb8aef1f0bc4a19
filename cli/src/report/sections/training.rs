//! Training curves, all runs' on one axis.

use models::EpochMetrics;

use crate::report::past_run::PastRun;
use crate::run::fit;
use crate::show::plot::{Series, lines};
use crate::show::report::Report;

/// Accuracy and loss by epoch.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    page.heading("Training");
    let mut curves: Vec<(String, &[EpochMetrics])> = Vec::new();
    for run in runs {
        if !run.epochs.is_empty() {
            curves.push((run.name.clone(), &run.epochs));
        }
        let label = |name: &str| run.label(name, runs.len() == 1);
        curves.extend(run.cell_epochs.iter().map(|(name, epochs)| (label(name), epochs.as_slice())));
    }
    if curves.is_empty() {
        page.absent("No run was trained. `cli qat` fine-tunes a quantized network, `cli train` a float one; the metrics.jsonl of either can stand beside other runs here.");
        return;
    }
    let series = |value: fn(&EpochMetrics) -> f64| -> Vec<Series> {
        let one = |(name, epochs): &(String, &[EpochMetrics])| {
            Series::new(name, epochs.iter().map(|m| (m.epoch as f64, value(m))).collect())
        };
        curves.iter().map(one).collect()
    };
    page.plots(&[
        lines("Accuracy after each epoch", "epoch", "top-1, %", &series(|m| m.test_top1)),
        lines("Loss on the training images", "epoch", "each run's own loss", &series(|m| m.loss)),
    ]);
    let row = |(name, epochs): &(String, &[EpochMetrics])| {
        let (last, best) = (epochs.last()?, fit::best(epochs)?);
        Some(vec![
            name.clone(),
            epochs.len().to_string(),
            format!("{:.2}", last.test_top1),
            format!("{:.2} ({})", best.test_top1, best.epoch),
            format!("{:.4}", last.loss),
            format!("{:.0}", fit::images_per_s(epochs)),
        ])
    };
    let head = ["run", "epochs", "last %", "best % (epoch)", "last loss", "images/s"];
    page.table(&head, &curves.iter().filter_map(row).collect::<Vec<_>>());
    page.note(
        "A quantized network in training is measured in integers after each epoch, on the test images or, where training \
         images were held out, on those. An epoch that was chosen on the test images flatters: of such a run only the last one's \
         accuracy is a measurement of what a user would get. Losses with label \
         smoothing or a teacher are other functions than the plain cross entropy, and not to be compared with it.",
    );
}
