//! As much of Markdown as the checks need: lines with their role, code spans, links, headings, rows of tables.

/// What a line is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role<'a> {
    /// Text, headings, tables.
    Text,
    /// The inside of a code block of this language.
    Code(&'a str),
    /// The line that begins or ends a code block.
    Fence,
}

/// A line of a page.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: usize,
    /// Without its end.
    pub text: &'a str,
    /// What it is part of.
    pub role: Role<'a>,
}

/// All lines with their roles.
pub fn lines(text: &str) -> Vec<Line<'_>> {
    let mut language = None;
    let mut all = Vec::new();
    for (i, text) in text.lines().enumerate() {
        let role = match (text.trim_start().strip_prefix("```"), language) {
            (Some(_), Some(_)) => {
                language = None;
                Role::Fence
            }
            (Some(name), None) => {
                language = Some(name.trim());
                Role::Fence
            }
            (None, Some(language)) => Role::Code(language),
            (None, None) => Role::Text,
        };
        all.push(Line { number: i + 1, text, role });
    }
    all
}

/// The lines of text, not of code.
pub fn prose(text: &str) -> impl Iterator<Item = Line<'_>> {
    lines(text).into_iter().filter(|line| line.role == Role::Text)
}

/// The code spans of a line of text.
pub fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The line with the insides of its code spans blanked, so that places in it stay the same.
pub fn without_code(line: &str) -> String {
    let mut inside = false;
    let blank = |c: char| {
        inside ^= c == '`';
        if inside && c != '`' { ' '.to_string().repeat(c.len_utf8()) } else { c.to_string() }
    };
    line.chars().map(blank).collect()
}

/// The targets of the links and images of a line of text.
pub fn link_targets(line: &str) -> Vec<String> {
    let line = without_code(line);
    let begins = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
    begins.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())).collect()
}

/// The anchors of the headings of a page, made as GitHub and mdBook make them.
pub fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|line| line.text.starts_with('#'));
    headings.map(|line| anchor(line.text.trim_start_matches('#').trim())).collect()
}

fn anchor(heading: &str) -> String {
    let kept = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.chars().filter(|&c| kept(c)).collect::<String>().to_lowercase().replace(' ', "-")
}

/// The cells of a row of a table: what stands between bars that no backslash escapes. Bars inside code count, as they
/// do on GitHub.
pub fn cells(row: &str) -> Vec<&str> {
    let row = row.trim();
    let row = row.strip_prefix('|').unwrap_or(row);
    let row = row.strip_suffix('|').filter(|row| !row.ends_with('\\')).unwrap_or(row);
    let (mut cells, mut from, mut escaped) = (Vec::new(), 0, false);
    for (at, c) in row.char_indices() {
        if c == '|' && !escaped {
            cells.push(row[from..at].trim());
            from = at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    cells.push(row[from..].trim());
    cells
}

/// A table: the cells of its head, and its rows.
pub struct Table<'a> {
    /// The head's cells.
    pub head: Vec<&'a str>,
    /// The rows below the dashes.
    pub rows: Vec<Line<'a>>,
}

/// The tables of a page.
pub fn tables(text: &str) -> Vec<Table<'_>> {
    let mut tables: Vec<Table<'_>> = Vec::new();
    let mut previous: Option<Line<'_>> = None;
    let mut open = false;
    for line in lines(text) {
        let row = line.role == Role::Text && line.text.trim_start().starts_with('|');
        let dashes = row && line.text.contains("--") && line.text.chars().all(|c| "|-: ".contains(c));
        match previous {
            Some(head) if dashes && !open => {
                tables.push(Table { head: cells(head.text), rows: Vec::new() });
                open = true;
            }
            _ if row && open => tables.last_mut().expect("it is open").rows.push(line),
            _ => open = false,
        }
        previous = row.then_some(line);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_blocks_are_not_text() {
        let page = "a\n```rust\n| b |\n```\nc";
        assert_eq!(prose(page).map(|line| line.text).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(lines(page)[2].role, Role::Code("rust"));
    }

    #[test]
    fn links_inside_code_are_none() {
        assert_eq!(link_targets("`f](x)` and [a](b.md#c) ![d](e.svg)"), ["b.md#c", "e.svg"]);
    }

    #[test]
    fn anchors_are_those_of_github() {
        assert_eq!(anchors("# 1. Is it `x_int`, biased?\n"), ["1-is-it-x_int-biased"]);
    }

    #[test]
    fn a_bar_divides_cells_unless_it_is_escaped() {
        assert_eq!(cells(r"| a | `x\|y` |"), ["a", r"`x\|y`"]);
        assert_eq!(cells("| `|z|` |").len(), 3);
    }

    #[test]
    fn a_table_is_head_dashes_and_rows() {
        let found = tables("text\n\n| a | b |\n|---|---|\n| 1 | 2 |\n| 3 | 4 |\n\n| no table |\n");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].head.clone(), found[0].rows.len()), (vec!["a", "b"], 2));
    }
}
