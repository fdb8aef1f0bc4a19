//! Which layer hurts: noise in each layer's weights and inputs, and what that layer alone does to the logits.

use crate::report::subject::{LayerFacts, Subject};
use crate::show::heat::strip;
use crate::show::report::Report;

/// A strip for each network, and its numbers.
pub fn section(page: &mut Report, subjects: &[Subject]) {
    page.heading("Which layer hurts?");
    if subjects.is_empty() {
        page.absent(super::NO_NETWORK);
        return;
    }
    for subject in subjects {
        let of = |f: fn(&LayerFacts) -> f64| subject.layers.iter().map(f).collect::<Vec<f64>>();
        let mut rows = vec![("weights".to_string(), of(|l| l.weights_db))];
        if subject.layers.iter().any(|l| l.input_db.is_finite()) {
            rows.push(("input".into(), of(|l| l.input_db)));
        }
        if subject.layers.iter().any(|l| l.logits_db.is_finite()) {
            rows.push(("logits".into(), of(|l| l.logits_db)));
        }
        let names: Vec<String> = subject.layers.iter().map(|l| l.name.clone()).collect();
        page.plot(&strip(&format!("{}: signal to noise", subject.name), &names, &rows, "dB"));
        if let Some(worst) = worst(subject) {
            page.text(&worst);
        }
        subject.absent.iter().for_each(|text| page.absent(text));
        page.details("All numbers", false, |page| {
            let number =
                |v: f64, digits: usize| if v.is_nan() { String::new() } else { format!("{v:.digits$}") };
            let row = |l: &LayerFacts| {
                vec![
                    l.name.clone(),
                    l.widths.map_or("float".into(), |widths| widths.to_string()),
                    number(l.weights_db, 2),
                    number(l.input_db, 2),
                    number(l.logits_db, 2),
                    number(l.changed, 2),
                ]
            };
            let head = ["layer", "bits", "weights dB", "input dB", "logits dB", "classes changed %"];
            page.table(&head, &subject.layers.iter().map(row).collect::<Vec<_>>());
        });
    }
    page.note(
        "Signal to quantization noise, in dB: six are one bit. What is asked is what rounding does to the float network by the \
         run's rules, before any training or learned correction. weights: of the layer's weights; input: of what it sees; \
         logits: of the network's output if this layer alone is rounded, weights and input, and the batch norm behind \
         it corrected. The stronger the colour, the more noise; each row has its own range. Blank: the layer stays in floats.",
    );
}

fn worst(subject: &Subject) -> Option<String> {
    let known = subject.layers.iter().filter(|l| l.logits_db.is_finite());
    let worst = known.min_by(|a, b| a.logits_db.total_cmp(&b.logits_db))?;
    let how = if worst.widths.is_some_and(|widths| widths.w == 0) { "dropped" } else { "rounded" };
    Some(format!(
        "{} hurts most: {how} alone in the float network, it leaves the logits {:.1} dB above their noise and changes {:.1}% of the answers.",
        worst.name, worst.logits_db, worst.changed
    ))
}
