//! The plots of a search over bit widths.

use serde::{Deserialize, Serialize};

use crate::show::axis::Axis;
use crate::show::objective::Objective;
use crate::show::published::Published;
use crate::show::svg::{Frame, Plot};

/// What a search keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The accuracy to stay above, percent.
    Floor(f64),
    /// The size not to exceed, in the unit that people read.
    AtMost(f64),
}

impl Bound {
    /// The accuracy that is of interest: the floor, or the most within the size.
    pub fn accuracy(self, points: impl Iterator<Item = (f64, f64)>) -> f64 {
        match self {
            Self::Floor(floor) => floor,
            Self::AtMost(size) => points.filter(|p| p.0 <= size).map(|p| p.1).fold(0.0, f64::max),
        }
    }

    /// Draws it as a line.
    pub fn draw(self, frame: &mut Frame, class: &'static str) {
        let ((left, right), (low, high)) = (frame.x_range(), frame.y_range());
        let (ends, name) = match self {
            Self::Floor(floor) => ([(left, floor), (right, floor)], "floor"),
            Self::AtMost(size) => ([(size, low), (size, high)], "limit"),
        };
        frame.line(&ends, &format!("{class} dashed"));
        frame.legend(name, class);
    }
}

/// What was measured: size and percent.
pub struct Sizes<'a> {
    /// Everything.
    pub all: &'a [(f64, f64)],
    /// What nothing else beats, by size.
    pub front: &'a [(f64, f64)],
    /// The same bits everywhere, with the number of bits.
    pub uniform: &'a [(u32, f64, f64)],
    /// With corrections that learn, by size.
    pub finished: &'a [(f64, f64)],
    /// Networks of others; those larger than all candidates are left out.
    pub published: &'a [Published],
    /// What the search keeps to.
    pub bound: Bound,
    /// What the sizes are of.
    pub objective: Objective,
}

/// Size against accuracy: all candidates faint, the front bold, uniform widths marked. What is far below the
/// accuracies of interest is left out of the frame.
pub fn sizes(title: &str, sizes: &Sizes<'_>) -> Plot {
    let all = || sizes.all.iter().chain(sizes.finished).copied();
    let wanted = sizes.bound.accuracy(all());
    let reached = all().map(|p| p.1).reduce(f64::max).unwrap_or(wanted);
    let best = reached.max(wanted);
    let lowest = reached.min(wanted) - 2.0 * (best - wanted).max(5.0); // a search may come to nothing that was wanted
    let inside = |y: f64| y >= lowest;
    let unit = sizes.objective.unit();
    let shown = || all().filter(|p| inside(p.1)).map(|p| p.0);
    let largest = shown().fold(0.0, f64::max);
    let others: Vec<Published> =
        sizes.published.iter().copied().filter(|p| p.kib <= largest && inside(p.top1)).collect();
    let x = Axis::over(sizes.objective.axis(), shown().chain(others.iter().map(|p| p.kib)));
    let tops = others.iter().map(|p| p.top1).chain([lowest, best]);
    let y = Axis::over("top-1 of the images searched on, %", tops).headroom();
    let mut frame = Frame::new(title, x.headroom().footroom(), y);
    let mut dots = |points: &[(f64, f64)], radius: f64, class: &str| {
        for &(x, y) in points.iter().filter(|p| inside(p.1)) {
            frame.dot(x, y, radius, class, &format!("{x:.1} {unit}, {y:.2}%"));
        }
    };
    dots(sizes.all, 2.5, "track-key");
    dots(sizes.front, 3.5, "s0");
    dots(sizes.finished, 4.0, "s2");
    let front: Vec<(f64, f64)> = sizes.front.iter().copied().filter(|p| inside(p.1)).collect();
    frame.line(&front, "s0");
    for &(bits, x, y) in sizes.uniform.iter().filter(|p| inside(p.2)) {
        frame.dot(x, y, 4.0, "s1", &format!("{bits} bits everywhere: {x:.1} {unit}, {y:.2}%"));
        frame.text(frame.px(x) + 7.0, frame.py(y) + 14.0, "start", "", &format!("{bits} bits"));
    }
    for (name, class) in [("measured", "track-key"), ("front", "s0"), ("uniform", "s1")] {
        frame.legend(name, class);
    }
    sizes.bound.draw(&mut frame, "s5");
    if !sizes.finished.is_empty() {
        frame.legend("with learned corrections", "s2");
    }
    published(&mut frame, &others);
    frame.finish()
}

/// Networks of others: dots with their names.
pub fn published(frame: &mut Frame, others: &[Published]) {
    let class = "s4";
    for Published { name, kib, top1 } in others {
        frame.dot(*kib, *top1, 4.0, class, &format!("{name}: {kib:.1} KiB, {top1:.2}%"));
        frame.text(frame.px(*kib) + 7.0, frame.py(*top1) - 6.0, "start", "", name);
    }
    if !others.is_empty() {
        frame.legend("published", class);
    }
}

/// The bits of each layer: a bar with its name along it and the number on top.
pub fn bits(title: &str, layers: &[String], bits: &[u32]) -> Plot {
    let most = bits.iter().copied().max().unwrap_or(0).max(1);
    let mut x = Axis::over("layers in the order of the network", [0.0, layers.len().max(1) as f64]);
    x.names = vec![(0.0, String::new())]; // no numbers: the bars have names
    let y = Axis::over("bits", [0.0, f64::from(most)]).whole().headroom();
    let mut frame = Frame::new(title, x, y);
    for (i, (layer, &b)) in layers.iter().zip(bits).enumerate() {
        let (left, value) = (i as f64, f64::from(b));
        frame.bars([(left + 0.08, left + 0.92, value)], "s0 soft");
        let (middle, foot, top) = (frame.px(left + 0.5), frame.bottom() - 6.0, frame.py(value) - 4.0);
        let along = format!("transform='rotate(-90 {:.1} {foot:.1})'", middle + 4.0);
        frame.text(middle + 4.0, foot, "start", &along, layer);
        frame.text(middle, top, "middle", "", &b.to_string());
    }
    frame.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_measured_is_drawn_once_each_and_the_far_below_is_not() {
        let all = [(10.0, 20.0), (20.0, 84.0), (30.0, 90.0), (31.0, 80.0)];
        let front = [(20.0, 84.0), (30.0, 90.0)];
        let svg = sizes(
            "t",
            &Sizes {
                all: &all,
                front: &front,
                uniform: &[(2, 31.0, 80.0)],
                finished: &[(20.0, 88.0)],
                published: &[
                    Published { name: "theirs", kib: 25.0, top1: 87.0 },
                    Published { name: "too large", kib: 99.0, top1: 93.0 },
                ],
                bound: Bound::Floor(85.0),
                objective: Objective::Bytes,
            },
        )
        .file();
        // Three of all, two of the front, one uniform, one finished, one published.
        assert_eq!(svg.matches("<circle").count(), 8, "{svg}");
        assert!(svg.contains(">theirs<") && !svg.contains("too large"), "{svg}");
        assert!(svg.contains("2 bits") && svg.contains("with learned corrections"));
        let svg = bits("t", &["layer1.0.conv1".into(), "fc".into()], &[3, 8]).file();
        assert!(
            svg.contains("layers in the order") && svg.contains(">layer1.0.conv1<") && svg.contains(">fc<")
        );
        assert!(svg.contains(">3<") && svg.contains(">8<"), "{svg}");
    }
}
