//! A frame to plot in: axes with ticks at round numbers, a grid, a legend; written as SVG.
//!
//! ```text
//!  y label              title and legend stand above: text of the page, or of the file
//!  ┌──────────────┐
//!  │   the plot   │
//!  └──────────────┘
//!       x label
//! ```
//!
//! Colours are classes (`s0`, `s1`, ... for series), which `plot.css` defines for light and dark surroundings: the page
//! has that sheet once, a file of its own has it inside.

use std::fmt::{Arguments, Write};

use crate::show::axis::Axis;
pub use crate::show::drawing::{Plot, STYLE, Size, escape};

/// Classes of series; more series begin again.
pub const SERIES: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];
/// From the frame to the plot's edge.
const RIGHT: f64 = 12.0;
const TOP: f64 = 26.0;

/// A plot in the making.
pub struct Frame {
    x: Axis,
    y: Axis,
    left: f64,
    plot: Plot,
}

impl Frame {
    /// An empty plot.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        Self::sized(title, x, y, Size::USUAL)
    }

    /// An empty plot of another size.
    pub fn sized(title: &str, x: Axis, y: Axis, size: Size) -> Self {
        // A small plot shows a shape: its height has no numbers.
        let y_ticks = if size == Size::SMALL { Vec::new() } else { y.ticks(size.height / 45.0) };
        let longest = y_ticks.iter().map(|(_, text)| text.chars().count()).max();
        let left = longest.map_or(8.0, |n| 14.0 + 7.4 * n as f64);
        let plot = Plot { title: title.to_string(), legend: Vec::new(), size, body: String::new() };
        let mut frame = Self { x, y, left, plot };
        let (left, right, bottom) = (frame.left, size.width - RIGHT, frame.bottom());
        for (value, text) in y_ticks {
            let y = frame.py(value);
            frame.draw(format_args!(
                "<line class='grid' x1='{left:.1}' x2='{right}' y1='{y:.1}' y2='{y:.1}'/>"
            ));
            frame.text(left - 6.0, y + 4.0, "end", "", &text);
        }
        for (value, text) in frame.x.ticks(size.width / 72.0) {
            let x = frame.px(value);
            frame.draw(format_args!(
                "<line class='axis' x1='{x:.1}' x2='{x:.1}' y1='{bottom}' y2='{:.1}'/>",
                bottom + 4.0
            ));
            // The outermost numbers stay inside the picture; what is wider than the picture begins with it.
            let half = 4.0 * text.chars().count() as f64;
            let inside = x.min(size.width - 2.0 - half).max(2.0 + half);
            frame.text(inside, bottom + 18.5, "middle", "", &text);
        }
        frame.draw(format_args!("<path class='axis' d='M{left:.1} {bottom}H{right}'/>"));
        let (x_label, y_label) = (frame.x.label.clone(), frame.y.label.clone());
        if !x_label.is_empty() {
            frame.text((left + right) / 2.0, size.height - 4.0, "middle", "class='label'", &x_label);
        }
        if !y_label.is_empty() {
            frame.text(2.0, 13.0, "start", "class='label'", &y_label);
        }
        frame
    }

    /// Vertical position of the plot's lower edge.
    pub fn bottom(&self) -> f64 {
        self.plot.size.height - if self.x.label.is_empty() { 25.0 } else { 41.0 }
    }

    /// Vertical position of the plot's upper edge.
    pub fn top(&self) -> f64 {
        if self.y.label.is_empty() { 8.0 } else { TOP }
    }

    /// Horizontal position of a value.
    pub fn px(&self, x: f64) -> f64 {
        self.left + (x - self.x.lo) / (self.x.hi - self.x.lo) * (self.plot.size.width - RIGHT - self.left)
    }

    /// Vertical position of a value; it grows downwards.
    pub fn py(&self, y: f64) -> f64 {
        self.bottom() - (y - self.y.lo) / (self.y.hi - self.y.lo) * (self.bottom() - self.top())
    }

    /// From where to where the x axis goes.
    pub fn x_range(&self) -> (f64, f64) {
        (self.x.lo, self.x.hi)
    }

    /// From where to where the y axis goes.
    pub fn y_range(&self) -> (f64, f64) {
        (self.y.lo, self.y.hi)
    }

    /// Appends an element.
    pub fn draw(&mut self, element: Arguments<'_>) {
        writeln!(self.plot.body, "{element}").expect("a string takes all");
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], class: &str) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let path: String = finite.map(|&(x, y)| format!("{:.1},{:.1} ", self.px(x), self.py(y))).collect();
        self.draw(format_args!("<polyline class='{class} line' points='{}'/>", path.trim_end()));
    }

    /// A dot that says `detail` when it is pointed at; one of the class `stop` also when the tab key reaches it.
    pub fn dot(&mut self, x: f64, y: f64, radius: f64, class: &str, detail: &str) {
        let (x, y, detail) = (self.px(x), self.py(y), escape(detail));
        let stop = if class.ends_with(" stop") { " tabindex='0'" } else { "" };
        self.draw(format_args!(
            "<circle class='{class} fill'{stop} cx='{x:.1}' cy='{y:.1}' r='{radius}'><title>{detail}</title></circle>"
        ));
    }

    /// Bars from `y = 0` (or the axis' beginning), each `(from, to, y)`, as one shape.
    pub fn bars(&mut self, bars: impl IntoIterator<Item = (f64, f64, f64)>, class: &str) {
        let base = self.py(self.y.lo.max(0.0));
        let mut path = String::new();
        for (from, to, y) in bars {
            let (left, right) = (self.px(from.max(self.x.lo)), self.px(to.min(self.x.hi)));
            let top = self.py(y);
            if right > left && base > top {
                write!(path, "M{left:.1} {base:.1}V{top:.1}H{right:.1}V{base:.1}z")
                    .expect("a string takes all");
            }
        }
        if !path.is_empty() {
            self.draw(format_args!("<path class='{class}' d='{path}'/>"));
        }
    }

    /// A vertical line at `x`, over the whole height.
    pub fn rule(&mut self, x: f64, class: &str) {
        if (self.x.lo..=self.x.hi).contains(&x) {
            let (x, top, bottom) = (self.px(x), self.top(), self.bottom());
            self.draw(format_args!(
                "<line class='{class} rule' x1='{x:.1}' x2='{x:.1}' y1='{top}' y2='{bottom}'/>"
            ));
        }
    }

    /// Short marks under the x axis.
    pub fn marks(&mut self, xs: impl IntoIterator<Item = f64>, class: &str) {
        let bottom = self.bottom();
        let inside = xs.into_iter().filter(|x| (self.x.lo..=self.x.hi).contains(x));
        let path: String = inside.map(|x| format!("M{:.1} {bottom}v5", self.px(x))).collect();
        if !path.is_empty() {
            self.draw(format_args!("<path class='{class} mark' d='{path}'/>"));
        }
    }

    /// A line of the legend.
    pub fn legend(&mut self, name: &str, class: &'static str) {
        self.plot.legend.push((name.to_string(), class));
    }

    /// Text that may hold any character.
    pub fn text(&mut self, x: f64, y: f64, anchor: &str, attributes: &str, text: &str) {
        let text = escape(text);
        self.draw(format_args!(
            "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' {attributes}>{text}</text>"
        ));
    }

    /// The finished plot.
    pub fn finish(self) -> Plot {
        self.plot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_take_anything_and_a_value_that_is_no_number_is_not_drawn() {
        let mut frame = Frame::new("a < b & \"c\"", Axis::over("x", [f64::NAN]), Axis::over("y", [3.0, 3.0]));
        frame.line(&[(0.0, f64::NAN), (0.5, 3.0)], SERIES[0]);
        frame.legend("<series>", SERIES[0]);
        let plot = frame.finish();
        for svg in [plot.inline(), plot.file()] {
            assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && !svg.contains("NaN"), "{svg}");
        }
        assert!(plot.file().contains("&lt;series&gt;") && plot.file().contains("<style>"));
    }
}
