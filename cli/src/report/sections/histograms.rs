//! Weights and inputs of each layer before and after, with the grid's levels and the clipping range.

use crate::report::subject::Subject;
use crate::show::levels::note;
use crate::show::report::Report;

/// A small histogram for each layer.
pub fn section(page: &mut Report, subjects: &[Subject]) {
    page.heading("Before and after");
    if subjects.is_empty() {
        page.absent(super::NO_NETWORK);
        return;
    }
    page.note(
        "Bars: the density of the float values. Line: that of the quantized values, each level spread over its step; the \
         ticks under the axis are the grid's levels. Dashed: where the grid clips. A level that holds nearly everything \
         (zero, behind a ReLU) leaves the frame.",
    );
    for (i, subject) in subjects.iter().enumerate() {
        if subjects.len() > 1 {
            page.subheading(&subject.name);
        }
        if let Some(text) = note(&subject.weights) {
            page.note(text);
        }
        for (what, plots) in [("Weights", &subject.weights), ("Inputs", &subject.inputs)] {
            if plots.is_empty() {
                continue;
            }
            page.details(&format!("{what} of {} layers", plots.len()), i == 0, |page| {
                page.small_plots(plots)
            });
        }
        if subject.inputs.is_empty() {
            subject.absent.iter().for_each(|text| page.absent(text));
        }
    }
}
