//! The plots: curves, histograms with the grid they are quantized on, grouped bars.

use crate::show::histogram::Histogram;
use crate::show::svg::{Axis, Frame, HEIGHT, PALETTE, document};

/// A named sequence of points.
#[derive(Clone, Debug)]
pub struct Series {
    name: String,
    points: Vec<(f64, f64)>,
}

impl Series {
    /// Points in the order they are joined.
    pub fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_string(), points }
    }
}

/// Curves.
pub fn lines(title: &str, x_label: &str, y_label: &str, series: &[Series]) -> String {
    let points = || series.iter().flat_map(|s| s.points.iter());
    let x = Axis::over(x_label, points().map(|p| p.0));
    let y = Axis::over(y_label, points().map(|p| p.1)).footroom().headroom();
    let mut frame = Frame::new(title, x, y);
    for (s, color) in series.iter().zip(PALETTE.iter().cycle()) {
        frame.legend(&s.name, color);
        frame.line(&s.points, color);
        if s.points.len() <= 30 {
            s.points.iter().filter(|p| p.1.is_finite()).for_each(|&(x, y)| frame.dot(x, y, color));
        }
    }
    frame.finish()
}

/// What a distribution becomes: its levels and the share of values on each.
#[derive(Clone, Debug, Default)]
pub struct QuantizedLevels {
    /// Distance of levels.
    pub step: f64,
    /// `(x_hat, share of the values)`.
    pub levels: Vec<(f64, f64)>,
}

/// A distribution, what quantizers make of it, and vertical rules at named places (clipping values, say).
///
/// All are drawn as densities, so that equal areas mean equal numbers of values: a bar of a bin's width for the values
/// before, an outline as wide as a step around each level for those after.
pub fn histogram(
    title: &str,
    x_label: &str,
    (name, before): (&str, &Histogram),
    after: &[(String, QuantizedLevels)],
    rules: &[(String, f64)],
) -> String {
    let total = before.total().max(1) as f64;
    let density = |count: u64| count as f64 / total / before.width();
    let highest = before.counts.iter().map(|&c| density(c)).fold(0.0, f64::max);
    let levels = after.iter().flat_map(|(_, q)| q.levels.iter().map(|l| l.1 / q.step));
    // A level that holds nearly everything (zero after a ReLU) would flatten all others: it leaves the frame.
    let top = highest.max(levels.fold(0.0, f64::max).min(2.5 * highest.max(f64::MIN_POSITIVE)));
    let x = Axis::over(x_label, [before.lo, before.hi]);
    let y = Axis::over("density", [0.0, top.max(f64::MIN_POSITIVE)]).headroom();
    let limit = y.hi;
    let mut frame = Frame::new(title, x, y);
    frame.legend(name, PALETTE[0]);
    for (i, &count) in before.counts.iter().enumerate() {
        let left = before.lo + i as f64 * before.width();
        frame.bar(left, left + before.width() * 0.96, density(count).min(limit), PALETTE[0], 0.5);
    }
    let mut colors = PALETTE[1..].iter().cycle();
    for ((name, q), color) in after.iter().zip(&mut colors) {
        frame.legend(name, color);
        let half = q.step / 2.0;
        let corner = |x: f64, share: f64| (x.clamp(before.lo, before.hi), (share / q.step).min(limit));
        let corners =
            q.levels.iter().flat_map(|&(x, share)| [corner(x - half, share), corner(x + half, share)]);
        frame.line(&corners.collect::<Vec<_>>(), color);
        let few = q.levels.len() <= 64;
        q.levels.iter().filter(|_| few).for_each(|&(x, _)| frame.mark(x, color));
    }
    for ((name, x), color) in rules.iter().zip(colors) {
        frame.legend(name, color);
        frame.rule(*x, color);
    }
    frame.finish()
}

/// Bars side by side, `names[i]` under the group `groups[i]`, one bar in it for each of `series`.
pub fn bars(title: &str, y_label: &str, names: &[String], series: &[(String, Vec<f64>)]) -> String {
    let mut x = Axis::over("", [0.0, names.len().max(1) as f64]);
    x.names = names.iter().enumerate().map(|(i, name)| (i as f64 + 0.5, name.clone())).collect();
    let values = series.iter().flat_map(|s| s.1.iter().copied());
    let y = Axis::over(y_label, values.chain([0.0])).headroom();
    let mut frame = Frame::new(title, x, y);
    let width = 0.8 / series.len().max(1) as f64;
    for (j, ((name, values), color)) in series.iter().zip(PALETTE.iter().cycle()).enumerate() {
        frame.legend(name, color);
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| v.is_finite()) {
            let left = i as f64 + 0.1 + j as f64 * width;
            frame.bar(left, left + 0.94 * width, value, color, 0.85);
        }
    }
    frame.finish()
}

/// Plots under each other in one picture.
pub fn stack(plots: &[String]) -> String {
    let mut body = String::new();
    for (i, plot) in plots.iter().enumerate() {
        let y = i as f64 * HEIGHT;
        body += &plot.replacen("<svg ", &format!("<svg y='{y}' "), 1);
    }
    document(HEIGHT * plots.len() as f64, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(svg: &str, what: &str) -> usize {
        svg.matches(what).count()
    }

    #[test]
    fn each_plot_draws_what_it_is_given() {
        let curve = lines("loss", "epoch", "loss", &[Series::new("train", vec![(1.0, 2.0), (2.0, 1.0)])]);
        assert_eq!((count(&curve, "<polyline"), count(&curve, "<circle")), (1, 2));
        let before = Histogram::of(&[-1.0, -0.5, 0.0, 0.5, 0.9], -1.0, 1.0, 4);
        let after =
            QuantizedLevels { step: 0.5, levels: vec![(-1.0, 0.2), (-0.5, 0.2), (0.0, 0.2), (0.5, 0.4)] };
        let picture =
            histogram("w", "value", ("before", &before), &[("after".into(), after)], &[("clip".into(), 0.5)]);
        // background, 2 + 1 in the legend, 4 bins; the outline of the levels
        assert_eq!((count(&picture, "<rect"), count(&picture, "<polyline")), (1 + 3 + 4, 1), "{picture}");
        let groups = bars("mse", "dB", &["8".into(), "4".into()], &[("a".into(), vec![1.0, 2.0])]);
        assert_eq!(count(&groups, "<rect"), 1 + 1 + 2);
        let both = stack(&[curve, groups]);
        assert_eq!((count(&both, "<svg"), count(&both, "</svg>")), (3, 3));
        assert!(both.contains("<svg y='340'"));
    }
}
