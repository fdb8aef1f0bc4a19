//! Who is taken for whom.

use crate::report::past_run::PastRun;
use crate::report::shown::{Shown, networks};
use crate::show::heat::confusion;
use crate::show::report::Report;
use crate::show::svg::Plot;

/// A matrix for each network whose answers are known.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    page.heading("Confusion");
    let answered = networks(runs).into_iter().filter(|shown| !shown.measured.predictions.is_empty());
    let matrix = |shown: Shown<'_>| {
        let (m, results) = (shown.measured, shown.results);
        confusion(
            &format!("{}: {:.2}% right", shown.name, m.top1),
            results.classes().names(),
            &counts(results.classes().len(), &results.labels, &m.predictions),
        )
    };
    let plots: Vec<Plot> = answered.map(matrix).collect();
    if plots.is_empty() {
        page.absent("No run holds its networks' answers. `cli ptq`, `cli qat` and `cli train` keep them at their end.");
        return;
    }
    page.plots(&plots);
}

/// `counts[label][prediction]`.
fn counts(classes: usize, labels: &[u16], predictions: &[u16]) -> Vec<Vec<u32>> {
    let mut counts = vec![vec![0; classes]; classes];
    for (&label, &prediction) in labels.iter().zip(predictions) {
        if let Some(count) =
            counts.get_mut(usize::from(label)).and_then(|row| row.get_mut(usize::from(prediction)))
        {
            *count += 1;
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_counted_once() {
        let counts = counts(6, &[3, 3, 5], &[3, 5, 5]);
        assert_eq!((counts[3][3], counts[3][5], counts[5][5]), (1, 1, 1));
        assert_eq!(counts.iter().flatten().sum::<u32>(), 3);
    }
}
