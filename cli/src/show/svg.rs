//! A frame to plot in: title, axes with ticks at round numbers, grid, legend; written as SVG.
//!
//! ```text
//!  title
//!  ┌──────────────┐   legend
//!  │   the plot   │
//!  └──────────────┘
//!       x label
//! ```

use std::fmt::Write;

/// Width of a plot.
pub const WIDTH: f64 = 720.0;
/// Height of a plot.
pub const HEIGHT: f64 = 340.0;
/// From the frame to the plot's edge.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 58.0;
const BOTTOM: f64 = 48.0;

/// Colours of series, told apart by the colour-blind too (after Okabe and Ito, 2008).
pub const PALETTE: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#56b4e9"];

/// An axis from `lo` to `hi`.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// Where it begins.
    pub lo: f64,
    /// Where it ends, above `lo`.
    pub hi: f64,
    /// Names at positions instead of round numbers.
    pub names: Vec<(f64, String)>,
}

impl Axis {
    /// An axis over these values; a single value gets some room.
    pub fn over(label: &str, values: impl IntoIterator<Item = f64>) -> Self {
        let finite = values.into_iter().filter(|v| v.is_finite());
        let (lo, hi) = finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
        let (lo, hi) = if lo > hi { (0.0, 1.0) } else { (lo, hi) };
        let room = if hi > lo { 0.0 } else { 0.5 * lo.abs().max(1e-9) };
        Self { label: label.to_string(), lo: lo - room, hi: hi + room, names: Vec::new() }
    }

    /// The axis with a little more room above.
    pub fn headroom(mut self) -> Self {
        self.hi += 0.06 * (self.hi - self.lo);
        self
    }

    /// The axis with a little more room below.
    pub fn footroom(mut self) -> Self {
        self.lo -= 0.06 * (self.hi - self.lo);
        self
    }

    /// Positions and texts of the ticks.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        if self.names.is_empty() { round_numbers(self.lo, self.hi, 6) } else { self.names.clone() }
    }
}

/// At most about `count` round numbers (1, 2 or 5 times a power of ten apart) in `lo..=hi`.
fn round_numbers(lo: f64, hi: f64, count: usize) -> Vec<(f64, String)> {
    let rough = (hi - lo) / count as f64;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|m| m * power).into_iter().find(|s| *s >= rough).unwrap_or(power);
    let decimals = (-step.log10().floor()).max(0.0) as usize;
    let (first, last) = ((lo / step - 1e-9).ceil() as i64, (hi / step + 1e-9).floor() as i64);
    (first..=last)
        .map(|i| {
            let value = i as f64 * step;
            let text = if !(-5.0..=5.0).contains(&step.log10()) {
                format!("{value:.1e}")
            } else {
                format!("{value:.decimals$}")
            };
            (value, text)
        })
        .collect()
}

/// A plot in the making.
pub struct Frame {
    x: Axis,
    y: Axis,
    body: String,
    legend: Vec<(String, String)>,
}

impl Frame {
    /// An empty plot.
    pub fn new(title: &str, x: Axis, y: Axis) -> Self {
        let mut frame = Self { x, y, body: String::new(), legend: Vec::new() };
        let (right, bottom) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        frame.text(LEFT, 22.0, "start", "font-weight=\"600\" font-size=\"15\"", title);
        for (value, text) in frame.x.ticks() {
            let x = frame.px(value);
            frame.draw(format_args!(
                "<line x1='{x:.1}' x2='{x:.1}' y1='{TOP}' y2='{bottom}' stroke='#eef0f3'/>"
            ));
            frame.text(x, bottom + 17.0, "middle", "fill=\"#555\"", &text);
        }
        for (value, text) in frame.y.ticks() {
            let y = frame.py(value);
            frame.draw(format_args!(
                "<line x1='{LEFT}' x2='{right}' y1='{y:.1}' y2='{y:.1}' stroke='#e3e6ea'/>"
            ));
            frame.text(LEFT - 7.0, y + 4.0, "end", "fill=\"#555\"", &text);
        }
        let (x_label, y_label) = (frame.x.label.clone(), frame.y.label.clone());
        frame.text((LEFT + right) / 2.0, HEIGHT - 10.0, "middle", "fill=\"#333\"", &x_label);
        let turn = format!("fill=\"#333\" transform=\"rotate(-90 14 {0})\"", (TOP + bottom) / 2.0);
        frame.text(14.0, (TOP + bottom) / 2.0, "middle", &turn, &y_label);
        frame
    }

    /// Horizontal position of a value.
    pub fn px(&self, x: f64) -> f64 {
        LEFT + (x - self.x.lo) / (self.x.hi - self.x.lo) * (WIDTH - RIGHT - LEFT)
    }

    /// Vertical position of a value; it grows downwards.
    pub fn py(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - (y - self.y.lo) / (self.y.hi - self.y.lo) * (HEIGHT - BOTTOM - TOP)
    }

    /// Appends an element.
    pub fn draw(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.body, "{element}").expect("a string takes all");
    }

    /// A line through points.
    pub fn line(&mut self, points: &[(f64, f64)], color: &str) {
        let finite = points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let path: String = finite.map(|&(x, y)| format!("{:.1},{:.1} ", self.px(x), self.py(y))).collect();
        self.draw(format_args!(
            "<polyline points='{}' fill='none' stroke='{color}' stroke-width='2' stroke-linejoin='round'/>",
            path.trim_end()
        ));
    }

    /// A dot.
    pub fn dot(&mut self, x: f64, y: f64, color: &str) {
        let (x, y) = (self.px(x), self.py(y));
        self.draw(format_args!("<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{color}'/>"));
    }

    /// A bar from `y = 0` (or the axis' beginning) to `y`.
    pub fn bar(&mut self, from: f64, to: f64, y: f64, color: &str, opacity: f64) {
        let base = self.py(self.y.lo.max(0.0));
        let (left, right, top) = (self.px(from.max(self.x.lo)), self.px(to.min(self.x.hi)), self.py(y));
        let (width, height) = (right - left, (base - top).max(0.0));
        if width > 0.0 && height > 0.0 {
            self.draw(format_args!(
                "<rect x='{left:.1}' y='{top:.1}' width='{width:.2}' height='{height:.1}' fill='{color}' fill-opacity='{opacity}'/>"
            ));
        }
    }

    /// A vertical line at `x`, over the whole height.
    pub fn rule(&mut self, x: f64, color: &str) {
        if (self.x.lo..=self.x.hi).contains(&x) {
            let (x, bottom) = (self.px(x), HEIGHT - BOTTOM);
            self.draw(format_args!(
                "<line x1='{x:.1}' x2='{x:.1}' y1='{TOP}' y2='{bottom}' stroke='{color}' stroke-dasharray='4 3'/>"
            ));
        }
    }

    /// A short mark on the x axis.
    pub fn mark(&mut self, x: f64, color: &str) {
        if (self.x.lo..=self.x.hi).contains(&x) {
            let (x, bottom) = (self.px(x), HEIGHT - BOTTOM);
            let top = bottom - 7.0;
            self.draw(format_args!(
                "<line x1='{x:.1}' x2='{x:.1}' y1='{top}' y2='{bottom}' stroke='{color}' stroke-width='1.5'/>"
            ));
        }
    }

    /// A line of the legend.
    pub fn legend(&mut self, name: &str, color: &str) {
        self.legend.push((name.to_string(), color.to_string()));
    }

    /// Text that may hold any character.
    pub fn text(&mut self, x: f64, y: f64, anchor: &str, attributes: &str, text: &str) {
        let text = escape(text);
        self.draw(format_args!(
            "<text x='{x:.1}' y='{y:.1}' text-anchor='{anchor}' {attributes}>{text}</text>"
        ));
    }

    /// The finished plot.
    pub fn finish(mut self) -> String {
        let mut x = LEFT;
        for (name, color) in std::mem::take(&mut self.legend) {
            self.draw(format_args!("<rect x='{x:.1}' y='34' width='12' height='12' rx='2' fill='{color}'/>"));
            self.text(x + 17.0, 44.5, "start", "fill=\"#333\"", &name);
            x += 17.0 + 6.6 * name.chars().count() as f64 + 16.0;
        }
        let (left, bottom, width) = (LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT - LEFT);
        self.draw(format_args!("<path d='M{left} {TOP}V{bottom}h{width}' fill='none' stroke='#9aa1ab'/>"));
        document(HEIGHT, &self.body)
    }
}

/// An SVG document of this height.
pub fn document(height: f64, body: &str) -> String {
    format!(
        "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' height='{height}' \
         font-family='system-ui, sans-serif' font-size='12'>\n<rect width='100%' height='100%' fill='white'/>\n{body}</svg>\n"
    )
}

/// The text with the characters that SVG and HTML reserve written out.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_inside() {
        let texts = |lo, hi| round_numbers(lo, hi, 6).into_iter().map(|(_, t)| t).collect::<Vec<_>>();
        assert_eq!(texts(0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(texts(-3.0, 12.0), ["0", "5", "10"]);
        assert_eq!(texts(0.0, 0.006), ["0.000", "0.001", "0.002", "0.003", "0.004", "0.005", "0.006"]);
        for (lo, hi) in [(0.0, 1e-9), (-7.3, 1e7), (99.0, 99.5)] {
            let ticks = round_numbers(lo, hi, 6);
            assert!(
                (2..=8).contains(&ticks.len())
                    && ticks.iter().all(|(v, _)| *v >= lo - 1e-9 && *v <= hi + 1.0)
            );
        }
    }

    #[test]
    fn axes_and_texts_take_anything() {
        let axis = Axis::over("x", [f64::NAN]);
        assert!(axis.lo < axis.hi);
        let mut frame = Frame::new("a < b & \"c\"", axis, Axis::over("y", [3.0, 3.0]));
        frame.line(&[(0.0, f64::NAN), (0.5, 3.0)], PALETTE[0]);
        let svg = frame.finish();
        assert!(svg.contains("a &lt; b &amp; &quot;c&quot;") && !svg.contains("NaN"), "{svg}");
    }
}
