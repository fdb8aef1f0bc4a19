//! Numbers as the darkness of cells: a strip of layers, a confusion matrix.

use crate::show::svg::{Plot, Size, escape};
use crate::show::text_table::number;

/// Width of the drawings.
const WIDTH: f64 = 460.0;
/// Columns that fit beside each other; more begin another row of strips.
const COLUMNS: usize = 32;
/// From nothing to the darkest, as opacity; numbers stand on it, and are to be read.
const LIGHTEST: f64 = 0.05;
const DARKEST: f64 = 0.75;

/// A row of cells for each of `rows`, `(what it measures, value of each column)`: the smaller a value (in `unit`), the
/// darker its cell. Each row has its own range. What is infinite has lost nothing, and NaN, which nobody knows, is left blank.
pub fn strip(title: &str, columns: &[String], rows: &[(String, Vec<f64>)], unit: &str) -> Plot {
    let longest = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let left = 12.0 + 7.0 * longest as f64;
    let width = ((WIDTH - left - 4.0) / columns.len().clamp(1, COLUMNS) as f64).min(40.0);
    let names = 10.0 + 7.2 * columns.iter().map(|c| c.chars().count()).max().unwrap_or(0) as f64;
    let (cell, mut y, mut body) = (24.0, 4.0, String::new());
    for (block, columns) in columns.chunks(COLUMNS).enumerate() {
        let first = block * COLUMNS;
        for (name, values) in rows {
            let (lo, hi) = range(values);
            let label = format!(
                "<text x='{:.1}' y='{:.1}' text-anchor='end'>{}</text>\n",
                left - 7.0,
                y + 16.0,
                escape(name)
            );
            body += &label;
            for (i, column) in columns.iter().enumerate() {
                let value = values.get(first + i).copied().unwrap_or(f64::NAN);
                let (x, width, height) = (left + i as f64 * width, width - 1.5, cell - 2.0);
                let (column, name) = (escape(column), escape(name));
                if value.is_nan() {
                    body += &format!(
                        "<rect class='blank' x='{:.1}' y='{:.1}' width='{:.1}' height='{:.1}' rx='2'><title>{column}, {name}: not quantized, or not known</title></rect>\n",
                        x + 0.5,
                        y + 0.5,
                        width - 1.0,
                        height - 1.0
                    );
                    continue;
                }
                let badness = if hi > lo { ((hi - value) / (hi - lo)).max(0.0) } else { 0.0 };
                let text = match value {
                    f64::INFINITY => "no error".to_owned(),
                    _ => format!("{} {unit}", number(value)),
                };
                body += &format!(
                    "<rect class='bad' x='{x:.1}' y='{y}' width='{width:.1}' height='{height:.1}' rx='2' fill-opacity='{:.2}'><title>{column}, {name}: {text}</title></rect>\n",
                    LIGHTEST + (DARKEST - LIGHTEST) * badness.powf(1.3)
                );
            }
            y += cell;
        }
        for (i, column) in columns.iter().enumerate() {
            let x = left + (i as f64 + 0.5) * width + 3.5;
            body += &format!(
                "<text x='{x:.1}' y='{:.1}' class='tick' text-anchor='end' transform='rotate(-90 {x:.1} {:.1})'>{}</text>\n",
                y + 4.0,
                y + 4.0,
                escape(column)
            );
        }
        y += names;
    }
    Plot { title: title.into(), legend: Vec::new(), size: Size { width: WIDTH, height: y }, body }
}

fn range(values: &[f64]) -> (f64, f64) {
    let finite = values.iter().filter(|v| v.is_finite());
    finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}

/// A name on an axis takes this much.
const NAME: f64 = 15.0;
/// The longest name, in letters; longer ones are cut short.
const LONGEST: usize = 18;
/// Width of a letter, at most, also in the larger type of a phone.
const LETTER: f64 = 8.6;
/// With more classes only cells that count something are drawn: a page of all would be megabytes.
const MANY: usize = 30;
/// A cell that is smaller has no room for its number.
const NUMBER: f64 = 15.0;

/// How often (`counts[label][prediction]`) images of one class were taken for another. The diagonal is right; elsewhere
/// the darkest cell is the commonest mistake. Of many classes, every second, third, ... name stands at the axes and no
/// number in the cells; both show when a cell is pointed at.
pub fn confusion<S: AsRef<str>>(title: &str, names: &[S], counts: &[Vec<u32>]) -> Plot {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let n = names.len().max(1);
    let letters = |name: &str| name.chars().count().min(LONGEST) as f64;
    let longest = names.iter().map(|name| letters(name)).fold(0.0, f64::max);
    let (left, top) = (12.0 + LETTER * longest, 26.0 + 0.87 * LETTER * longest);
    let right = 6.0 + 0.5 * LETTER * names.last().map_or(0.0, |name| letters(name)); // the last name leans over the edge
    let side = (WIDTH - left - right) / n as f64;
    let mistakes = |i: usize| counts[i].iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, c)| *c);
    let most = f64::from((0..counts.len()).flat_map(mistakes).max().unwrap_or(0).max(1));
    let mut body = String::from(
        "<text class='label' x='2' y='13'>rows: the label, columns: the network's answer</text>\n",
    );
    for (i, name) in names.iter().enumerate().step_by((NAME / side).ceil().max(1.0) as usize) {
        let (y, x) = (top + (i as f64 + 0.5) * side + 4.0, left + (i as f64 + 0.5) * side + 4.0);
        let name = escape(&shortened(name));
        body += &format!("<text x='{:.1}' y='{y:.1}' text-anchor='end'>{name}</text>\n", left - 7.0);
        body += &format!(
            "<text x='{x:.1}' y='{:.1}' transform='rotate(-60 {x:.1} {:.1})'>{name}</text>\n",
            top - 6.0,
            top - 6.0
        );
    }
    for (i, row) in counts.iter().enumerate() {
        let all = f64::from(row.iter().sum::<u32>().max(1));
        for (j, &count) in row.iter().enumerate() {
            if count == 0 && n > MANY {
                continue;
            }
            let (class, opacity) = if i == j {
                ("good", DARKEST * (f64::from(count) / all).powi(2))
            } else {
                ("bad", DARKEST * (f64::from(count) / most).powf(0.8))
            };
            let (x, y) = (left + j as f64 * side, top + i as f64 * side);
            body += &format!(
                "<rect class='{class}' x='{x:.1}' y='{y:.1}' width='{0:.1}' height='{0:.1}' rx='2' fill-opacity='{1:.2}'><title>{2} of {3} images of {4} are taken for {5}</title></rect>\n",
                side - side.min(10.0) * 0.15,
                opacity.max(LIGHTEST),
                count,
                all,
                escape(names[i]),
                escape(names[j])
            );
            if count > 0 && side >= NUMBER {
                body += &format!(
                    "<text class='count' x='{:.1}' y='{:.1}' text-anchor='middle'>{count}</text>\n",
                    x + side / 2.0 - 0.7,
                    y + side / 2.0 + 4.0
                );
            }
        }
    }
    let size = Size { width: WIDTH, height: top + side * n as f64 + 2.0 };
    Plot { title: title.into(), legend: Vec::new(), size, body }
}

/// A name that fits beside an axis.
fn shortened(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        name.to_owned()
    } else {
        name.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_noisiest_layer_is_the_darkest_and_what_is_not_quantized_is_blank() {
        let columns = ["a", "b", "c"].map(String::from);
        let rows = [("weights".to_string(), vec![30.0, 10.0, f64::NAN])];
        let body = strip("t", &columns, &rows, "dB").body;
        assert_eq!((body.matches("class='bad'").count(), body.matches("class='blank'").count()), (2, 1));
        assert!(body.contains("fill-opacity='0.05'><title>a, weights: 30.00 dB"), "{body}");
        assert!(body.contains("fill-opacity='0.75'><title>b, weights: 10.00 dB"), "{body}");
        let exact =
            strip("t", &columns, &[("w".into(), vec![30.0, f64::INFINITY, f64::INFINITY])], "dB").body;
        assert_eq!(exact.matches("no error</title>").count(), 2, "{exact}");
        assert_eq!(exact.matches("fill-opacity='0.05'").count(), 3, "{exact}");
        let many: Vec<String> = (0..70).map(|i| i.to_string()).collect();
        let tall = strip("t", &many, &[("w".into(), vec![1.0; 70])], "dB");
        assert_eq!(tall.body.matches("text-anchor='end'>w<").count(), 3);
    }

    #[test]
    fn a_confusion_says_who_is_taken_for_whom() {
        let body = confusion("t", &["cat", "dog"], &[vec![8, 2], vec![0, 10]]).body;
        assert!(body.contains("2 of 10 images of cat are taken for dog"), "{body}");
        assert!(body.contains("<text class='count'") && !body.contains(">0</text>"));
        let many: Vec<String> = (0..100).map(|class| format!("class {class}")).collect();
        let body = confusion("t", &many, &vec![vec![1; 100]; 100]).body;
        assert_eq!(body.matches("<title>").count(), 10_000);
        assert!(!body.contains("class='count'") && body.contains(">class 0</text>"));
        assert!(!body.contains(">class 1</text>"), "there is no room for every name");
    }
}
