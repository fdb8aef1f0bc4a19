//! Names that the pages give: of tests, and of anything in the source.

use std::collections::HashSet;

use super::markdown::{cells, code_spans, prose, tables};
use super::{Page, Problem};

/// The heads of columns that name tests.
const OF_TESTS: [&str; 3] = ["test", "tests", "held by"];

/// The heads of columns whose names are somebody else's.
const OF_OTHERS: [&str; 1] = ["the assignment's name"];

/// What the source has.
#[derive(Default)]
pub struct Names {
    /// Functions under `#[test]`.
    pub tests: HashSet<String>,
    /// Every word that could be a name.
    pub words: HashSet<String>,
}

impl Names {
    /// Of these files, path and text.
    pub fn of(sources: &[(String, String)]) -> Self {
        let mut names = Self::default();
        for (path, text) in sources {
            let lines: Vec<&str> = text.lines().collect();
            for (i, line) in lines.iter().enumerate() {
                names.words.extend(words(line).map(str::to_owned));
                let mut above =
                    lines[..i].iter().rev().map(|line| line.trim()).take_while(|l| l.starts_with(['#', '/']));
                let name = line.trim_start().strip_prefix("fn ").and_then(|rest| words(rest).next());
                if above.any(|line| line == "#[test]") {
                    names.tests.extend(name.map(str::to_owned));
                }
            }
            let file = path.rsplit('/').next().unwrap_or(path);
            names.words.extend(words(file).map(str::to_owned));
        }
        names
    }
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// Names in the code spans of `page` that the source does not have: in columns of tests, tests; elsewhere, whatever has
/// two underscores and nothing but small letters and digits.
pub fn check(page: &Page, names: &Names) -> Vec<Problem> {
    let mut problems = Vec::new();
    let tables = tables(&page.text);
    let of_others = |head: &Vec<&str>| head.iter().any(|head| OF_OTHERS.contains(head));
    let skipped: Vec<usize> =
        tables.iter().filter(|t| of_others(&t.head)).flat_map(|t| &t.rows).map(|row| row.number).collect();
    for line in prose(&page.text).filter(|line| !skipped.contains(&line.number)) {
        for span in code_spans(line.text).filter(|span| is_long_name(span)) {
            if !names.words.contains(span) {
                problems.push(Problem::new(&page.path, line.number, format!("the source has no `{span}`")));
            }
        }
    }
    for table in tables {
        let Some(column) = table.head.iter().position(|head| OF_TESTS.contains(head)) else { continue };
        for row in table.rows {
            let cell = *cells(row.text).get(column).unwrap_or(&"");
            // A link is checked as one.
            let unlinked = cell.split("](").next().filter(|text| text.len() == cell.len()).unwrap_or("");
            for span in code_spans(unlinked).filter(|span| words(span).eq([*span])) {
                if !names.tests.contains(span) {
                    problems.push(Problem::new(&page.path, row.number, format!("there is no test `{span}`")));
                }
            }
        }
    }
    problems
}

fn is_long_name(span: &str) -> bool {
    let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    span.matches('_').count() >= 2
        && span.chars().all(small)
        && span.starts_with(|c: char| c.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let source = "#[test]\nfn zero_is_zero() {\n}\nfn a_b_c() {}\n";
        let names = Names::of(&[("src/long_file_name.rs".into(), source.into())]);
        let page = Page { path: "p.md".into(), text: text.into(), chapter: true };
        check(&page, &names).into_iter().map(|problem| problem.what).collect()
    }

    #[test]
    fn a_test_that_is_not_there_is_found() {
        let table = |cell: &str| format!("| what | test |\n|---|---|\n| x | {cell} |\n");
        assert_eq!(found(&table("`zero_is_zero`, [`more`](more.rs)")), [""; 0]);
        assert_eq!(found(&table("`a_b_c`")), ["there is no test `a_b_c`"]);
        assert_eq!(found(&table("`one`")), ["there is no test `one`"]);
    }

    #[test]
    fn a_name_that_no_source_has_is_found() {
        assert_eq!(found("`a_b_c`, `long_file_name`, `x_int`, `A_B_C`, `f(a_b_c)`"), [""; 0]);
        assert_eq!(found("See `gone_with_it`."), ["the source has no `gone_with_it`"]);
        assert_eq!(
            found("| the assignment's name | here |\n|---|---|\n| `gone_with_it` | `a_b_c` |\n"),
            [""; 0]
        );
    }
}
