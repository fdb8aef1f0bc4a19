//! Error against scale: the valley that every scale rule looks for, and where each of them stands in it.

use quant::scale::level_sums::LevelSums;
use quant::scale::{Sample, optimum};
use quant::{Grid, ScaleRule};

use crate::show::axis::Axis;
use crate::show::svg::{Frame, Plot, SERIES};
use crate::show::text_table::number;

/// Points of the curve.
const POINTS: usize = 160;
/// The least and the most error shown above the optimum's, dB, if the rules allow.
const HEIGHT: (f64, f64) = (6.0, 24.0);

/// `10 log10(mse(s) / mse(s_best))` of `x` on `grid` over scales `s` from a quarter to four times the best, more if a
/// rule stands farther out, on a logarithmic axis. `None` if some scale makes no error at all, or a rule has no answer.
pub fn scale_curve(title: &str, x: &[f32], grid: Grid, rules: &[ScaleRule]) -> Option<Plot> {
    let sample = Sample::new(x);
    let best = optimum(&sample, grid);
    let s_best = f64::from(best.scale);
    let sums = LevelSums::new(&sample);
    if best.mse <= 0.0 || s_best <= 0.0 {
        return None;
    }
    let above = |s: f64| (10.0 * (sums.mse(s, grid) / best.mse).log10()).max(0.0);
    let choices: Vec<(ScaleRule, f64)> = rules
        .iter()
        .map(|rule| Some((*rule, f64::from(rule.scale(x, grid).ok()?))))
        .collect::<Option<_>>()?;
    let octaves = choices.iter().map(|(_, s)| (s / s_best).log2().abs()).fold(1.2, f64::max) + 0.2;
    let most = choices.iter().map(|(_, s)| 1.25 * above(*s)).fold(HEIGHT.0, f64::max).min(HEIGHT.1);

    let mut horizontal = Axis::over("scale, as a multiple of the best", [-octaves, octaves]);
    // Every second name where all of them would touch.
    let step = if octaves > 2.5 { 2 } else { 1 };
    horizontal.names = (-6..=6)
        .step_by(step)
        .map(|octave| (f64::from(octave), 2f64.powi(octave)))
        .filter(|(octave, _)| octave.abs() <= octaves)
        .map(|(octave, multiple)| {
            (octave, if multiple < 1.0 { format!("1/{}", 1.0 / multiple) } else { multiple.to_string() })
        })
        .collect();
    let mut frame = Frame::new(title, horizontal, Axis::over("error above the least, dB", [0.0, most]));
    let at = |i: usize| octaves * (2.0 * i as f64 / (POINTS - 1) as f64 - 1.0);
    let curve = (0..POINTS).map(|i| (at(i), above(s_best * at(i).exp2()))).filter(|(_, y)| *y <= most);
    frame.line(&curve.collect::<Vec<_>>(), "s5");
    let mut placed: Vec<(f64, f64)> = Vec::new();
    for (i, ((rule, s), class)) in choices.iter().zip(SERIES.iter().cycle()).enumerate() {
        let (place, decibels) = ((s / s_best).log2(), above(*s));
        let detail = format!(
            "{}: scale {}, {} times the best; error {decibels:.2} dB above the least",
            rule.name,
            number(*s),
            number(s / s_best)
        );
        let shown = decibels.min(most);
        frame.dot(place, shown, 5.0, class, &detail);
        // Numbers of rules that stand close together are stacked.
        let (px, mut py) = (frame.px(place), frame.py(shown) - 9.0);
        while placed.iter().any(|(x, y)| (x - px).abs() < 11.0 && (y - py).abs() < 14.0) {
            py -= 14.0;
        }
        placed.push((px, py));
        frame.text(px, py, "middle", &format!("class='{class} key'"), &(i + 1).to_string());
        frame.legend(&format!("{} {}", i + 1, rule.name), class);
    }
    Some(frame.finish())
}

#[cfg(test)]
mod tests {
    use quant::scale::TABLE;

    use super::*;

    #[test]
    fn every_rule_stands_on_the_curve_and_the_heuristic_at_its_lowest_point() {
        let x: Vec<f32> = (0..2000).map(|i| ((i * 37 % 2000) as f32 / 1000.0 - 1.0).powi(3)).collect();
        let plot = scale_curve("t", &x, Grid::signed(4).unwrap(), &TABLE).unwrap();
        assert_eq!(plot.body.matches("<circle").count(), TABLE.len());
        assert_eq!(plot.legend[1].0, "2 heuristic");
        let heuristic = plot.body.lines().find(|line| line.contains("heuristic")).unwrap();
        assert!(heuristic.contains("error 0.00 dB above"), "{heuristic}");
        assert!(scale_curve("t", &[0.0; 9], Grid::signed(4).unwrap(), &TABLE).is_none());
    }
}
