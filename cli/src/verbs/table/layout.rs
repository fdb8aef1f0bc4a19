//! The finished cells as tables: every method beside every other, and the best of each width.

use quant::Widths;

use super::cell::Cell;
use super::{CellMode, TableArgs};

/// Head and rows.
type Grid = (Vec<String>, Vec<Vec<String>>);

/// A row for each width, a column for each mode and method.
pub(super) fn grid(args: &TableArgs, cells: &[Cell]) -> Grid {
    let columns: Vec<(CellMode, &String)> =
        args.modes.iter().flat_map(|mode| args.methods.iter().map(|method| (*mode, method))).collect();
    let mut head = vec!["bits".to_string()];
    head.extend(columns.iter().map(|(mode, method)| format!("{} {method}", mode.name())));
    head.push("KiB".into());
    let row = |&bits: &Widths| {
        let mut row = vec![bits.to_string()];
        row.extend(columns.iter().map(|&(mode, method)| percent(&runs(cells, bits, mode, method))));
        row.push(kib(cells.iter().filter(|c| c.bits == bits).map(|c| c.model_bytes)));
        row
    };
    (head, args.bits.iter().map(row).collect())
}

/// A row for each width, for each mode the method with the highest accuracy after the last epoch (mean over the seeds); of equals
/// the one that was named first.
pub(super) fn best(args: &TableArgs, cells: &[Cell]) -> Grid {
    let mut head = vec!["bits".to_string()];
    head.extend(args.modes.iter().map(|mode| mode.name().to_string()));
    let cell = |bits, mode| {
        let methods = args.methods.iter().map(|method| (method, runs(cells, bits, mode, method)));
        let best = methods
            .filter(|(_, runs)| !runs.is_empty())
            .rev()
            .max_by(|(_, a), (_, b)| mean_and_deviation(a).0.total_cmp(&mean_and_deviation(b).0));
        best.map_or(String::new(), |(method, runs)| format!("{} {method}", percent(&runs)))
    };
    let row = |&bits: &Widths| {
        std::iter::once(bits.to_string()).chain(args.modes.iter().map(|&mode| cell(bits, mode))).collect()
    };
    (head, args.bits.iter().map(row).collect())
}

/// The size of these files, or those of the smallest and the largest: methods store scales of their own, recipes other bits.
fn kib(bytes: impl Iterator<Item = usize> + Clone) -> String {
    let shown = |bytes: usize| format!("{:.1}", bytes as f64 / 1024.0);
    match (bytes.clone().min().map(shown), bytes.max().map(shown)) {
        (Some(least), Some(most)) if least != most => format!("{least} to {most}"),
        (least, _) => least.unwrap_or_default(),
    }
}

/// The cell's runs, one for each seed.
fn runs<'a>(cells: &'a [Cell], bits: Widths, mode: CellMode, method: &str) -> Vec<&'a Cell> {
    cells.iter().filter(|c| (c.bits, c.mode, c.method.as_str()) == (bits, mode, method)).collect()
}

/// One run: last epoch (best epoch). Several: mean and sample standard deviation of the last epochs.
fn percent(runs: &[&Cell]) -> String {
    match runs {
        [] => String::new(),
        [one] => match one.top1_best {
            Some(best) => format!("{:.2} ({best:.2})", one.top1),
            None => format!("{:.2}", one.top1),
        },
        several => {
            let (mean, deviation) = mean_and_deviation(several);
            format!("{mean:.2} ± {deviation:.2}")
        }
    }
}

/// `mean = sum top1 / n`, `deviation = sqrt(sum (top1 - mean)^2 / (n - 1))`, 0 for one run.
fn mean_and_deviation(runs: &[&Cell]) -> (f64, f64) {
    let n = runs.len() as f64;
    let mean = runs.iter().map(|c| c.top1).sum::<f64>() / n;
    let squares: f64 = runs.iter().map(|c| (c.top1 - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn run(method: &str, seed: u64, top1: f64) -> Cell {
        Cell {
            bits: "W4A4".parse().unwrap(),
            mode: CellMode::Qat,
            method: method.into(),
            top1,
            top1_best: Some(top1 + 0.1),
            epoch_best: Some(1),
            top1_simulated: top1,
            agreement: 100.0,
            images: 10_000,
            seed,
            model_bytes: 1024,
            model: "m".into(),
        }
    }

    #[test]
    fn several_seeds_are_a_mean_and_a_deviation_and_one_is_last_and_best() {
        let cells = [run("sawb", 1, 92.0), run("sawb", 2, 92.4), run("sawb", 3, 92.2)];
        assert_eq!(percent(&cells.iter().collect::<Vec<_>>()), "92.20 ± 0.20");
        assert_eq!(percent(&[&cells[0]]), "92.00 (92.10)");
        assert_eq!(percent(&[]), "");
    }

    #[test]
    fn the_best_method_is_that_of_the_highest_mean_and_what_has_not_run_is_empty() {
        let line = ["table", "--bits", "W4A4,W2A2", "--methods", "sawb,lsq", "--modes", "ptq,qat"];
        let matches = TableArgs::augment_args(Command::new("table")).get_matches_from(line);
        let args = TableArgs::from_arg_matches(&matches).unwrap();
        // sawb has the better run, lsq the better mean; nothing has been quantized without training, nor at W2A2.
        let cells = [run("sawb", 1, 93.0), run("sawb", 2, 91.0), run("lsq", 1, 92.4)];
        let (head, rows) = best(&args, &cells);
        assert_eq!(head, ["bits", "PTQ", "QAT"]);
        assert_eq!(rows, [["W4A4", "", "92.40 (92.50) lsq"], ["W2A2", "", ""]]);
        let (head, rows) = grid(&args, &cells);
        assert_eq!(head, ["bits", "PTQ sawb", "PTQ lsq", "QAT sawb", "QAT lsq", "KiB"]);
        assert_eq!(rows[0], ["W4A4", "", "", "92.00 ± 1.41", "92.40 (92.50)", "1.0"]);
    }
}
