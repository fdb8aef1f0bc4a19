//! What `calibrate` says of each rule, and the page that shows it.

use std::path::PathBuf;

use anyhow::Result;
use quant::ScaleRule;
use quant::scale::TABLE;

use super::{CalibrateArgs, Method, Row, Set};
use crate::run::context::Context;
use crate::run::run_folder::{REPORT, RunFolder};
use crate::run::settings;
use crate::show::histogram::Histogram;
use crate::show::levels::quantized;
use crate::show::plot::{After, bars, histogram};
use crate::show::report::Report;
use crate::show::scale_curve::scale_curve;
use crate::show::svg::Size;
use crate::show::text_table::number;

pub(super) const HEAD: [&str; 11] = [
    "set",
    "bits",
    "method",
    "scale",
    "mse",
    "mse/best",
    "SQNR dB",
    "bias",
    "clipping",
    "rounding",
    "clipped %",
];

/// The rows of the printed table; rules in the order of [`TABLE`], then the optimum.
pub(super) fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let mut lines = Vec::new();
    for row in rows {
        let start = |name: &str| vec![row.set.clone(), row.bits.to_string(), name.to_string()];
        for rule in TABLE.iter().filter(|rule| row.methods.contains_key(rule.name)) {
            let Method { scale, error, .. } = &row.methods[rule.name];
            let mut line = start(rule.name);
            line.extend([
                number(f64::from(*scale)),
                number(error.mse),
                ratio(over(error.mse, row.optimum.mse)),
                format!("{:.2}", error.sqnr_db),
                format!("{:+.2e}", error.bias),
                format!("{:+.2e}", error.bias_clipping),
                format!("{:+.2e}", error.bias_rounding),
                format!("{:.3}", 100.0 * error.clipped),
            ]);
            lines.push(line);
        }
        let mut line = start("(optimum)");
        line.extend([number(f64::from(row.optimum.scale)), number(row.optimum.mse), "1".into()]);
        line.resize(HEAD.len(), String::new());
        lines.push(line);
    }
    lines
}

/// `mse / best`; 1 where both are zero.
fn over(mse: f64, best: f64) -> f64 {
    if mse == best { 1.0 } else { mse / best }
}

/// Four places, as long as the number is not a row of digits.
fn ratio(v: f64) -> String {
    if v < 1e5 { format!("{v:.4}") } else { number(v) }
}

pub(super) fn title(set: &Set) -> String {
    format!("{} ({}, {} samples)", set.name, set.distribution, set.x.len())
}

/// Writes the plots and the page; returns the page's path.
pub(super) fn report(
    args: &CalibrateArgs,
    context: &Context,
    folder: &RunFolder,
    sets: &[Set],
    methods: &[ScaleRule],
    rows: &[Row],
) -> Result<PathBuf> {
    let mut page = Report::new("Calibration");
    page.lead(
        "Which rule chooses the best scale, and how far from the least error does each of them end?",
        &[],
    );
    page.heading("Error by data set, width and rule");
    let names: Vec<String> = rows.iter().map(|r| format!("{} {}", r.set, r.bits)).collect();
    let ratio =
        |rule: &ScaleRule| rows.iter().map(|r| over(r.methods[rule.name].error.mse, r.optimum.mse)).collect();
    let series: Vec<(String, Vec<f64>)> = methods.iter().map(|m| (m.to_string(), ratio(m))).collect();
    let plot = bars("Error over the least possible (data set, bits)", "mse / best", &names, &series);
    folder.write("mse.svg", plot.file().as_bytes())?;
    page.plot(&plot);
    page.table(&HEAD, &table(rows));
    for (i, set) in sets.iter().enumerate() {
        page.heading(&title(set));
        let (mut curves, mut histograms) = (Vec::new(), Vec::new());
        let before = Histogram::over(set.x.data(), 120);
        for row in rows.iter().filter(|r| r.set == set.name) {
            let grid = row.methods[methods[0].name].q.grid();
            let text = format!("Error against scale, {} at {} bits", set.name, row.bits);
            curves.extend(scale_curve(&text, set.x.data(), grid, methods));
            let rule = methods.iter().find(|m| **m == ScaleRule::HEURISTIC).unwrap_or(&methods[0]);
            let clip = |m: &ScaleRule| {
                let (_, hi) = row.methods[m.name].q.clip_range(0);
                After { name: m.to_string(), levels: None, clips: vec![f64::from(hi)] }
            };
            let levels = quantized(&set.x, &row.methods[rule.name].q)?;
            let outline =
                |levels| After { name: "after quantization".into(), levels: Some(levels), clips: Vec::new() };
            let after: Vec<After> =
                levels.map(outline).into_iter().chain(methods.iter().take(4).map(clip)).collect();
            let text =
                format!("{}: {} bits, grid of {rule}; dashed: where each rule clips", set.name, row.bits);
            let plot = histogram(&text, ("before", &before), &after, Size::USUAL);
            folder.write(format!("histogram-{}-{}.svg", i + 1, row.bits), plot.file().as_bytes())?;
            histograms.push(plot);
        }
        page.plots(&histograms);
        page.plots(&curves);
    }
    page.heading("Configuration");
    page.verbatim(&settings::to_text(&context.verb, context.seed, args)?);
    folder.write(REPORT, page.finish().as_bytes())
}
