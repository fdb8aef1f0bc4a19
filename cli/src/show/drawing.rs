//! A finished plot: inside a page, or as a file of its own with title and legend in it.

use std::fmt::Write;

/// What the classes mean.
pub const STYLE: &str = include_str!("plot.css");

/// Width and height of a plot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Size {
    /// In the units of the text, whose size is 12.
    pub width: f64,
    /// The same.
    pub height: f64,
}

impl Size {
    /// Half a page's width, or a phone's whole.
    pub const USUAL: Self = Self { width: 460.0, height: 270.0 };
    /// One of many.
    pub const SMALL: Self = Self { width: 220.0, height: 120.0 };
}

/// A finished plot.
#[derive(Clone, Debug)]
pub struct Plot {
    /// What it shows.
    pub title: String,
    /// Names of its series, each with its class.
    pub legend: Vec<(String, &'static str)>,
    /// Its extent.
    pub size: Size,
    /// The elements.
    pub body: String,
}

impl Plot {
    /// The drawing alone, for a page that has the style sheet and writes title and legend itself.
    pub fn inline(&self) -> String {
        let Size { width, height } = self.size;
        format!(
            "<svg class='plot' viewBox='0 0 {width} {height}' role='img' aria-label='{}'>\n{}</svg>",
            escape(&self.title),
            self.body
        )
    }

    /// A file of its own.
    pub fn file(&self) -> String {
        Self::stack(std::slice::from_ref(self))
    }

    /// A file with these plots under each other.
    pub fn stack(plots: &[Self]) -> String {
        let width = plots.iter().map(|p| p.size.width).fold(0.0, f64::max);
        let (mut body, mut y) = (String::new(), 0.0);
        for plot in plots {
            let (head, height) = plot.head(width);
            let below = y + height;
            writeln!(body, "<g transform='translate(0 {y})'>{head}</g>").expect("a string takes all");
            writeln!(body, "<g transform='translate(0 {below})'>\n{}</g>", plot.body)
                .expect("a string takes all");
            y = below + plot.size.height;
        }
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' class='plot' viewBox='0 0 {width} {y}' width='{width}' \
             height='{y}'>\n<style>{STYLE}</style>\n<rect class='bg' width='100%' height='100%'/>\n{body}</svg>\n"
        )
    }

    /// Title and legend as SVG, in lines no wider than `width`, and their height.
    fn head(&self, width: f64) -> (String, f64) {
        let mut head = format!("<text class='title' x='10' y='22'>{}</text>", escape(&self.title));
        let (mut x, mut y) = (10.0, 40.0);
        for (name, class) in &self.legend {
            // 7 units a character: the widest usual fonts have no more.
            let room = 17.0 + 7.0 * name.chars().count() as f64 + 14.0;
            if x > 10.0 && x + room > width {
                (x, y) = (10.0, y + 17.0);
            }
            write!(
                head,
                "<rect class='{class} fill' x='{x:.1}' y='{:.1}' width='11' height='11' rx='2'/>\
                 <text x='{:.1}' y='{y:.1}'>{}</text>",
                y - 9.5,
                x + 17.0,
                escape(name)
            )
            .expect("a string takes all");
            x += room;
        }
        (head, if self.legend.is_empty() { 30.0 } else { y + 8.0 })
    }
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
    fn plots_are_stacked_under_their_heads() {
        let legend = vec![("<series>".to_string(), "s0")];
        let plot = Plot { title: "a & b".into(), legend, size: Size::USUAL, body: String::new() };
        let both = Plot::stack(&[plot.clone(), plot]);
        assert_eq!((both.matches("<svg").count(), both.matches("class='title'").count()), (1, 2));
        // Each under 48 units of title and legend.
        assert!(both.contains("translate(0 318)") && both.contains("height='636'"), "{both}");
        assert!(both.contains("a &amp; b") && both.contains("&lt;series&gt;") && both.contains("<style>"));
    }
}
