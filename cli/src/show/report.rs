//! A page about a run: one HTML file with its tables and plots in it, nothing to fetch.

use std::fmt::{Display, Write};

use crate::show::svg::escape;

/// A page in the making.
pub struct Report {
    title: String,
    body: String,
}

impl Report {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_string(), body: String::new() }
    }

    /// A heading.
    pub fn heading(&mut self, text: &str) {
        self.push(format_args!("<h2>{}</h2>", escape(text)));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>", escape(text)));
    }

    /// Text as it stands: a configuration, a histogram in characters.
    pub fn verbatim(&mut self, text: &str) {
        self.push(format_args!("<pre>{}</pre>", escape(text)));
    }

    /// A table; cells that are numbers are set to the right.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let cells = |tag: &str, cells: &mut dyn Iterator<Item = &str>| {
            cells
                .map(|cell| {
                    let number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
                    let class = if number { " class='n'" } else { "" };
                    format!("<{tag}{class}>{}</{tag}>", escape(cell))
                })
                .collect::<String>()
        };
        self.push(format_args!(
            "<table><thead><tr>{}</tr></thead><tbody>",
            cells("th", &mut head.iter().copied())
        ));
        for row in rows {
            self.push(format_args!("<tr>{}</tr>", cells("td", &mut row.iter().map(String::as_str))));
        }
        self.push(format_args!("</tbody></table>"));
    }

    /// A plot, in place.
    pub fn plot(&mut self, svg: &str) {
        self.push(format_args!("<figure>{svg}</figure>"));
    }

    fn push(&mut self, element: impl Display) {
        writeln!(self.body, "{element}").expect("a string takes all");
    }

    /// The finished page.
    pub fn finish(self) -> String {
        let title = escape(&self.title);
        format!(
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\
             <meta name='viewport' content='width=device-width, initial-scale=1'>\n<title>{title}</title>\n\
             <style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n{}</body></html>\n",
            self.body
        )
    }
}

const STYLE: &str = "\
body{font:15px/1.5 system-ui,sans-serif;color:#1d2229;max-width:1180px;margin:2rem auto;padding:0 1rem}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}\
table{border-collapse:collapse;font-size:.9rem}th,td{padding:.25rem .7rem;border-bottom:1px solid #e3e6ea;text-align:left}\
th{border-bottom:2px solid #9aa1ab}.n{text-align:right;font-variant-numeric:tabular-nums}\
figure{margin:.6rem .6rem .6rem 0;display:inline-block;max-width:100%}svg{max-width:100%;height:auto}\
pre{background:#f6f7f9;padding:.8rem;overflow:auto;line-height:1.25}";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_its_parts_and_escapes_texts() {
        let mut report = Report::new("a & b");
        report.heading("<h>");
        report.table(&["name", "mse"], &[vec!["sawb".into(), "1.5".into()]]);
        report.plot("<svg></svg>");
        let page = report.finish();
        assert!(page.contains("<title>a &amp; b</title>") && page.contains("<h2>&lt;h&gt;</h2>"));
        assert!(
            page.contains("<td>sawb</td><td class='n'>1.5</td>")
                && page.contains("<figure><svg></svg></figure>")
        );
    }
}
