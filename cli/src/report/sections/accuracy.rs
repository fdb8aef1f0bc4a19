//! Float, quantized without training, with training, in integers: how often each is right.

use serde_json::Value;

use crate::report::past_run::PastRun;
use crate::report::shown::{Shown, image_counts, networks};
use crate::report::thousands;
use crate::show::bars::{Bar, horizontal_bars};
use crate::show::report::Report;
use crate::show::svg::SERIES;

/// Bars, a table of the same, and for tables of cells all of them.
pub fn section(page: &mut Report, runs: &[PastRun]) {
    page.heading("Accuracy");
    let networks = networks(runs);
    let cells: Vec<(&PastRun, &Value)> =
        runs.iter().flat_map(|run| run.cells.iter().map(move |cell| (run, cell))).collect();
    if networks.is_empty() && cells.is_empty() {
        page.absent("No run has measured a network to its end. `cli ptq` measures a float network and the quantized one, `cli qat` all three.");
        return;
    }
    if !networks.is_empty() {
        let mut bars = Vec::new();
        for Shown { name, measured: m, .. } in &networks {
            match m.simulated {
                None => bars.push(bar(name, m.top1, SERIES[5])),
                Some(simulated) => {
                    let class = if m.name.starts_with("QAT") { SERIES[2] } else { SERIES[0] };
                    let how = if m.integer_only { "integers only" } else { "integer layers" };
                    bars.push(bar(&format!("{name}, simulated in floats"), simulated, "soft-bar"));
                    bars.push(bar(&format!("{name}, {how}"), m.top1, class));
                }
            }
        }
        let different = image_counts(runs).len() > 1;
        let number = |v: Option<f64>, digits: usize| v.map_or(String::new(), |v| format!("{v:.digits$}"));
        let row = |shown: &Shown<'_>| {
            let m = shown.measured;
            let mut row = vec![
                shown.name.clone(),
                format!("{:.2}", m.top1),
                shown.points().map_or(String::new(), |points| format!("{points:+.2}")),
                number(m.simulated, 2),
                number(m.agreement, 2),
                format!("{:.1}", m.bytes as f64 / 1024.0),
            ];
            row.extend(different.then(|| thousands(shown.results.labels.len())));
            row
        };
        let mut head = vec!["network", "top-1 %", "points", "simulated %", "same class %", "KiB"];
        head.extend(different.then_some("images"));
        page.beside(|page| {
            page.plot(&horizontal_bars("Images classified correctly, %", &bars, 100.0));
            page.table(&head, &networks.iter().map(row).collect::<Vec<_>>());
        });
        page.note(
            "top-1: of the float network, or of the integers that the model file computes. simulated: the same quantized \
             network in floats. same class: images that both classify alike. points: above or below the float network of the same run. KiB: the model file; of the float \
             network, a file of its floats.",
        );
    }
    if !cells.is_empty() {
        let bar_of = |(run, cell): &(&PastRun, &Value)| {
            let text = |key: &str| cell[key].as_str().unwrap_or("?").to_owned();
            let trained = text("mode") == "qat";
            let name = format!("{} {} {}", text("mode").to_uppercase(), text("bits"), text("method"));
            bar(
                &run.label(&name, runs.len() == 1),
                cell["top1"].as_f64().unwrap_or(f64::NAN),
                if trained { SERIES[2] } else { SERIES[0] },
            )
        };
        let bars: Vec<Bar> = cells.iter().map(bar_of).filter(|bar| bar.value.is_finite()).collect();
        page.plot(&horizontal_bars("Cells of the table, % correct in integers", &bars, 100.0));
    }
}

fn bar(name: &str, percent: f64, class: &'static str) -> Bar {
    Bar { name: name.to_owned(), value: percent, text: format!("{percent:.2}"), class }
}
