//! A page about runs: one HTML file with its tables and plots in it, nothing to fetch.
//!
//! It follows the reader's light or dark scheme, prints, and fits a phone. Without its little script nothing is missing
//! but details that appear under a finger.

use std::fmt::{Display, Write};

use crate::run::program;
use crate::show::svg::{Plot, STYLE, escape};

/// A page in the making.
pub struct Report {
    title: String,
    lead: String,
    headings: Vec<String>,
    body: String,
}

/// A number that stands large at the top of a page, and what it is.
pub type Tile = (String, String);

impl Report {
    /// An empty page.
    pub fn new(title: &str) -> Self {
        Self { title: title.to_string(), lead: String::new(), headings: Vec::new(), body: String::new() }
    }

    /// What stands under the title: a sentence, and the numbers that matter most.
    pub fn lead(&mut self, sentence: &str, tiles: &[Tile]) {
        write!(self.lead, "<p class='lead'>{}</p>", prose(sentence)).expect("a string takes all");
        if !tiles.is_empty() {
            let tile = |(n, what): &Tile| {
                format!("<div class='tile'><b>{}</b><span>{}</span></div>", escape(n), escape(what))
            };
            let tiles: String = tiles.iter().map(tile).collect();
            write!(self.lead, "<div class='tiles'>{tiles}</div>").expect("a string takes all");
        }
    }

    /// A heading, which the list of contents has too.
    pub fn heading(&mut self, text: &str) {
        self.headings.push(text.to_string());
        let number = self.headings.len();
        self.push(format_args!("<h2 id='part{number}'>{}</h2>", escape(text)));
    }

    /// A heading inside a part.
    pub fn subheading(&mut self, text: &str) {
        self.push(format_args!("<h3>{}</h3>", escape(text)));
    }

    /// A paragraph.
    pub fn text(&mut self, text: &str) {
        self.push(format_args!("<p>{}</p>", prose(text)));
    }

    /// A paragraph in small print: how to read what is above, or how it was measured.
    pub fn note(&mut self, text: &str) {
        self.push(format_args!("<p class='note'>{}</p>", prose(text)));
    }

    /// Says that something is not there and what would provide it: a command, `cli VERB`, gets the name that the program was
    /// started by.
    pub fn absent(&mut self, text: &str) {
        let text = text.replace("`cli ", &format!("`{} ", program::name()));
        self.push(format_args!("<p class='absent'>{}</p>", prose(&text)));
    }

    /// Text as it stands: a configuration, a command.
    pub fn verbatim(&mut self, text: &str) {
        self.push(format_args!("<pre>{}</pre>", escape(text.trim_end())));
    }

    /// A table; cells that are numbers are set to the right.
    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        let number =
            |cell: &str| cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '−'));
        // A column of numbers has its head above them.
        let numeric = |column: usize| {
            let mut cells =
                rows.iter().filter_map(|row| row.get(column)).filter(|cell| !cell.is_empty()).peekable();
            cells.peek().is_some() && cells.all(|cell| number(cell))
        };
        let class = |is: bool| if is { " class='n'" } else { "" };
        let heads = head
            .iter()
            .enumerate()
            .map(|(i, cell)| format!("<th scope='col'{}>{}</th>", class(numeric(i)), escape(cell)));
        let line = |row: &Vec<String>| {
            let cell = |cell: &String| format!("<td{}>{}</td>", class(number(cell)), escape(cell));
            format!("<tr>{}</tr>\n", row.iter().map(cell).collect::<String>())
        };
        self.push(format_args!(
            "<div class='table' tabindex='0' role='region' aria-label='table'><table><thead><tr>{}</tr></thead><tbody>\n{}</tbody></table></div>",
            heads.collect::<String>(),
            rows.iter().map(line).collect::<String>()
        ));
    }

    /// A plot in place.
    pub fn plot(&mut self, plot: &Plot) {
        self.push(format_args!("<figure class='wide'>{}</figure>", figure(plot)));
    }

    /// Plots beside each other, as many as there is room for.
    pub fn plots(&mut self, plots: &[Plot]) {
        let figures: String =
            plots.iter().map(|plot| format!("<figure>{}</figure>\n", figure(plot))).collect();
        self.push(format_args!("<div class='grid'>\n{figures}</div>"));
    }

    /// Many small plots, which have one legend in common.
    pub fn small_plots(&mut self, plots: &[Plot]) {
        self.push(plots.first().map_or(String::new(), legend));
        let small = |plot: &Plot| {
            let title = escape(&plot.title);
            format!("<figure><figcaption><b>{title}</b></figcaption>{}</figure>\n", plot.inline())
        };
        let figures: String = plots.iter().map(small).collect();
        self.push(format_args!("<div class='grid small'>\n{figures}</div>"));
    }

    /// What `inside` adds, side by side where there is room.
    pub fn beside(&mut self, inside: impl FnOnce(&mut Self)) {
        self.push("<div class='beside'>");
        inside(self);
        self.push("</div>");
    }

    /// What `inside` adds, folded away under `summary`, or open.
    pub fn details(&mut self, summary: &str, open: bool, inside: impl FnOnce(&mut Self)) {
        let open = if open { " open" } else { "" };
        self.push(format_args!("<details{open}><summary>{}</summary>", escape(summary)));
        inside(self);
        self.push("</details>");
    }

    /// Pictures with what there is to say about each: `(address of the picture, its description, lines of HTML)`.
    pub fn pictures(&mut self, pictures: &[(String, String, String)]) {
        let picture = |(address, what, caption): &(String, String, String)| {
            let what = escape(what);
            format!("<li><img src='{address}' alt='{what}' width='32' height='32'>{caption}</li>\n")
        };
        self.push(format_args!(
            "<ul class='pictures'>{}</ul>",
            pictures.iter().map(picture).collect::<String>()
        ));
    }

    fn push(&mut self, element: impl Display) {
        writeln!(self.body, "{element}").expect("a string takes all");
    }

    /// The finished page.
    pub fn finish(self) -> String {
        let title = escape(&self.title);
        let link =
            |(i, text): (usize, &String)| format!("<li><a href='#part{}'>{}</a></li>", i + 1, escape(text));
        let links: String = self.headings.iter().enumerate().map(link).collect();
        let nav = if self.headings.len() > 2 {
            format!("<nav aria-label='Contents'><ul>{links}</ul></nav>")
        } else {
            String::new()
        };
        let (page, script) = (include_str!("page.css"), include_str!("page.js"));
        format!(
            "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>\
             <meta name='viewport' content='width=device-width, initial-scale=1'>\
             <meta name='color-scheme' content='light dark'>\n<title>{title}</title>\n\
             <style>\n{STYLE}{page}</style></head>\n<body>\n<header><h1>{title}</h1>{}{nav}</header>\n<main>\n{}</main>\n\
             <footer>Made by quantization lab {}; nothing on this page is fetched from elsewhere.</footer>\n\
             <script>\n{script}</script>\n</body></html>\n",
            self.lead,
            self.body,
            env!("CARGO_PKG_VERSION")
        )
    }
}

/// Escaped text; what stands in backticks is code.
fn prose(text: &str) -> String {
    let piece = |(i, piece): (usize, &str)| {
        let piece = escape(piece);
        if i % 2 == 1 { format!("<code>{piece}</code>") } else { piece }
    };
    text.split('`').enumerate().map(piece).collect()
}

/// Title, legend and drawing.
fn figure(plot: &Plot) -> String {
    format!("<figcaption><b>{}</b>{}</figcaption>{}", escape(&plot.title), legend(plot), plot.inline())
}

/// The names of a plot's series, each with its colour.
fn legend(plot: &Plot) -> String {
    let name = |(name, class): &(String, &str)| {
        format!("<span class='{class}'><i></i><span>{}</span></span>", escape(name))
    };
    let names: String = plot.legend.iter().map(name).collect();
    if names.is_empty() { names } else { format!("<div class='legend'>{names}</div>") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::show::plot::{Series, lines};

    #[test]
    fn a_page_holds_its_parts_and_escapes_texts() {
        let mut report = Report::new("a & b");
        report.lead("<lead>", &[("93.4%".into(), "float".into())]);
        report.heading("<h>");
        report.note("see `cli ptq` & more");
        report.table(&["name", "mse"], &[vec!["sawb".into(), "1.5".into()]]);
        report.plot(&lines("<t>", "epoch", "loss", &[Series::new("<s>", vec![(1.0, 2.0)])]));
        report.details("more", false, |page| page.text("inside"));
        report.pictures(&[("data:,".into(), "a 'cat'".into(), "<b>cat</b>".into())]);
        let page = report.finish();
        for part in [
            "<title>a &amp; b</title>",
            "&lt;lead&gt;",
            "<h2 id='part1'>&lt;h&gt;</h2>",
            "<td>sawb</td><td class='n'>1.5</td>",
            "<th scope='col' class='n'>mse</th>",
            "<b>&lt;t&gt;</b>",
            "see <code>cli ptq</code> &amp; more",
            "<summary>more</summary>\n<p>inside</p>\n</details>",
            "alt='a &#39;cat&#39;'",
        ] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains("<s>") && !page.contains("http://") && !page.contains("https://"));
    }
}
