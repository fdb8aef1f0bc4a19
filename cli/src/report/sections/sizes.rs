//! Where the bytes are: each layer's weights in floats and as they are stored.

use crate::report::subject::{LayerFacts, Subject};
use crate::show::bars::layer_sizes;
use crate::show::report::Report;

/// Bars for each network.
pub fn section(page: &mut Report, subjects: &[Subject]) {
    page.heading("Size by layer");
    if subjects.is_empty() {
        page.absent(super::NO_NETWORK);
        return;
    }
    let plot = |subject: &Subject| {
        let rows: Vec<_> = subject.layers.iter().map(|l| (l.name.clone(), l.bytes(), bits(l))).collect();
        layer_sizes(&format!("{}: KiB of weights", subject.name), &rows)
    };
    page.plots(&subjects.iter().map(plot).collect::<Vec<_>>());
    for subject in subjects {
        let sum = |f: fn((usize, usize)) -> usize| subject.layers.iter().map(|l| f(l.bytes())).sum::<usize>();
        let (float, packed) = (sum(|b| b.0) as f64 / 1024.0, sum(|b| b.1) as f64 / 1024.0);
        page.note(&format!(
            "{}: {packed:.1} KiB of weights instead of {float:.1}; biases, scales and batch norms come on top.",
            subject.name
        ));
    }
}

fn bits(layer: &LayerFacts) -> String {
    layer.widths.map_or("float".into(), |widths| format!("{} bits", widths.w))
}
