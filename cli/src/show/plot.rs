//! The plots: curves, histograms with the grid they are quantized on, grouped bars.

use crate::show::axis::Axis;
use crate::show::histogram::Histogram;
use crate::show::svg::{Frame, Plot, SERIES, Size};
use crate::show::text_table::number;

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

/// Curves. Epochs are whole numbers, and percentages lie between 0 and 100.
pub fn lines(title: &str, x_label: &str, y_label: &str, series: &[Series]) -> Plot {
    let points = || series.iter().flat_map(|s| s.points.iter());
    let mut x = Axis::over(x_label, points().map(|p| p.0));
    let mut y = Axis::over(y_label, points().map(|p| p.1)).footroom().headroom();
    if x_label == "epoch" {
        x = x.whole();
    }
    if y_label.ends_with('%') {
        y = y.at_least(0.0).at_most(100.0);
    }
    let mut frame = Frame::new(title, x, y);
    for (s, class) in series.iter().zip(SERIES.iter().cycle()) {
        frame.legend(&s.name, class);
        frame.line(&s.points, class);
        // Long curves have their values under invisible dots, which show when pointed at.
        let (radius, class) =
            if s.points.len() <= 30 { (2.5, class.to_string()) } else { (5.0, format!("{class} ghost")) };
        for &(x, y) in s.points.iter().filter(|p| p.1.is_finite()) {
            frame.dot(x, y, radius, &class, &format!("{}: {x_label} {x}, {}", s.name, number(y)));
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

/// What a quantizer makes of a distribution, as it is drawn: under one name, in one colour.
#[derive(Clone, Debug, Default)]
pub struct After {
    /// In the legend.
    pub name: String,
    /// Outlined, if there are levels to draw.
    pub levels: Option<QuantizedLevels>,
    /// Where it clips: a vertical rule each.
    pub clips: Vec<f64>,
}

/// A distribution, and what quantizers make of it. Their colours go by their places, so that names that are alike are still
/// told apart, and each clips in its own colour.
///
/// All are drawn as densities, so that equal areas mean equal numbers of values: a bar of a bin's width for the values
/// before, an outline as wide as a step around each level for those after. The axis reaches over the values and over where
/// they are clipped, which may be wider.
pub fn histogram(title: &str, (name, before): (&str, &Histogram), after: &[After], size: Size) -> Plot {
    let total = before.total().max(1) as f64;
    let density = |count: u64| count as f64 / total / before.width();
    let mut bins: Vec<f64> = before.counts.iter().map(|&c| density(c)).collect();
    bins.sort_by(|a, b| b.total_cmp(a));
    // A bin or level that holds nearly everything (zero after a ReLU) would flatten all others: it leaves the frame.
    let alone = bins.len() > 2 && bins[1] > 0.0 && bins[0] > 3.0 * bins[1];
    let highest = if alone { 1.5 * bins[1] } else { bins[0] };
    let drawn = || after.iter().filter_map(|after| after.levels.as_ref());
    let levels = drawn().flat_map(|q| q.levels.iter().map(|l| l.1 / q.step));
    let top = highest.max(levels.fold(0.0, f64::max).min(1.5 * highest));
    let (x_label, y_label) = if size == Size::SMALL { ("", "") } else { ("value", "density") };
    let clips = after.iter().flat_map(|after| after.clips.iter().copied());
    let x = Axis::over(x_label, [before.lo, before.hi].into_iter().chain(clips));
    let (left, right) = (x.lo, x.hi);
    let y = Axis::over(y_label, [0.0, top.max(f64::MIN_POSITIVE)]).headroom();
    let limit = y.hi;
    let mut frame = Frame::sized(title, x, y, size);
    frame.legend(name, SERIES[0]);
    let bars = before.counts.iter().enumerate().map(|(i, &count)| {
        let left = before.lo + i as f64 * before.width();
        (left, left + before.width() * 0.96, density(count).min(limit))
    });
    frame.bars(bars, "s0 soft");
    let coloured = || after.iter().zip(SERIES[1..].iter().cycle());
    for (after, class) in coloured() {
        frame.legend(&after.name, class);
        let Some(q) = &after.levels else { continue };
        let half = q.step / 2.0;
        let corner = |x: f64, share: f64| (x.clamp(left, right), (share / q.step).min(limit));
        let corners =
            q.levels.iter().flat_map(|&(x, share)| [corner(x - half, share), corner(x + half, share)]);
        frame.line(&corners.collect::<Vec<_>>(), class);
        if q.levels.len() <= 64 {
            frame.marks(q.levels.iter().map(|l| l.0), class);
        }
    }
    for (after, class) in coloured() {
        after.clips.iter().for_each(|clip| frame.rule(*clip, class));
    }
    frame.finish()
}

/// Bars side by side, one for each of `series` over each of `names`. An infinite one goes to the top, and says so.
pub fn bars(title: &str, y_label: &str, names: &[String], series: &[(String, Vec<f64>)]) -> Plot {
    let mut x = Axis::over("", [0.0, names.len().max(1) as f64]);
    x.names = names.iter().enumerate().map(|(i, name)| (i as f64 + 0.5, name.clone())).collect();
    let values = series.iter().flat_map(|s| s.1.iter().copied());
    let y = Axis::over(y_label, values.chain([0.0])).headroom();
    let top = y.hi;
    let mut frame = Frame::new(title, x, y);
    let width = 0.8 / series.len().max(1) as f64;
    for (j, ((name, values), class)) in series.iter().zip(SERIES.iter().cycle()).enumerate() {
        frame.legend(name, class);
        let mut drawn = Vec::new();
        for (i, &value) in values.iter().enumerate().filter(|(_, v)| **v > f64::NEG_INFINITY) {
            let left = i as f64 + 0.1 + j as f64 * width;
            drawn.push((left, left + 0.94 * width, value.min(top)));
            if value == f64::INFINITY {
                let (x, y) = (frame.px(left + 0.47 * width), frame.top());
                frame.text(x, y - 2.0, "middle", "", "∞");
            }
        }
        frame.bars(drawn, &format!("{class} fill"));
    }
    frame.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_plot_draws_what_it_is_given() {
        let count = |plot: &Plot, what: &str| plot.body.matches(what).count();
        let curve = lines("loss", "epoch", "loss", &[Series::new("train", vec![(1.0, 2.0), (2.0, 1.0)])]);
        assert_eq!((count(&curve, "<polyline"), count(&curve, "<circle")), (1, 2));
        assert!(curve.body.contains("<title>train: epoch 2, 1.000</title>"), "{}", curve.body);
        let before = Histogram::of(&[-1.0, -0.5, 0.0, 0.5, 0.9], -1.0, 1.0, 4);
        let levels =
            QuantizedLevels { step: 0.5, levels: vec![(-1.0, 0.2), (-0.5, 0.2), (0.0, 0.2), (0.5, 0.4)] };
        let after = After { name: "after".into(), levels: Some(levels), clips: vec![] };
        let clip = After { name: "clip".into(), levels: None, clips: vec![-0.5, 0.5] };
        let picture = histogram("w", ("before", &before), &[after, clip], Size::SMALL);
        // Four bins in one shape, the outline of the levels, both ends of the range under one name.
        assert_eq!(
            (count(&picture, "'s0 soft'"), count(&picture, "z"), count(&picture, "<polyline")),
            (1, 4, 1)
        );
        assert_eq!((count(&picture, "rule'"), picture.legend.len()), (2, 3));
        // Of two with one name, the second clips in the second's colour.
        let two = [-0.5, 0.5].map(|clip| After { name: "after".into(), levels: None, clips: vec![clip] });
        let picture = histogram("w", ("before", &before), &two, Size::SMALL);
        assert_eq!((count(&picture, "'s1 rule'"), count(&picture, "'s2 rule'")), (1, 1));
        assert_eq!(picture.legend.iter().map(|entry| entry.1).collect::<Vec<_>>(), ["s0", "s1", "s2"]);
        // A range that is wider than the values is drawn too.
        let wide = After { name: "wide".into(), levels: None, clips: vec![-2.0, 2.0] };
        assert_eq!(count(&histogram("w", ("before", &before), &[wide], Size::SMALL), "'s1 rule'"), 2);
        let endless =
            bars("mse", "", &["8".into(), "4".into()], &[("a".into(), vec![f64::NAN, f64::INFINITY])]);
        assert_eq!((count(&endless, "V"), count(&endless, ">∞<")), (2, 1), "{}", endless.body);
        let groups = bars("mse", "dB", &["8".into(), "4".into()], &[("a".into(), vec![1.0, 2.0])]);
        assert_eq!(count(&groups, "z'") + count(&groups, "zM"), 2);
    }
}
