//! Error against scale: the valley, and where each rule stands in it.

use crate::report::subject::Subject;
use crate::show::report::Report;

/// The curves of the noisiest weights.
pub fn section(page: &mut Report, subjects: &[Subject]) {
    page.heading("Error against scale");
    if subjects.iter().all(|subject| subject.curves.is_empty()) {
        page.absent(super::NO_NETWORK);
        return;
    }
    page.note(
        "Squared error of the weights as their scale varies, above the least there is. To the left of the valley the grid \
         clips too much, to the right its steps are too coarse; every rule is asked, also those the run did not use.",
    );
    for subject in subjects.iter().filter(|subject| !subject.curves.is_empty()) {
        if subjects.len() > 1 {
            page.subheading(&subject.name);
        }
        page.plots(&subject.curves);
    }
}
