//! Tables that GitHub shows whole: as many cells in each row as in the head, and no bare bar inside code.

use super::markdown::{cells, prose, tables, without_code};
use super::{Page, Problem};

/// What is wrong with the tables of a page, and code spans that go over the end of a line (which the other checks do
/// not see).
pub fn check(page: &Page) -> Vec<Problem> {
    let mut problems = Vec::new();
    for table in tables(&page.text) {
        for row in table.rows {
            let (has, wants) = (cells(row.text).len(), table.head.len());
            if bar_in_code(row.text) {
                let what = r"a bare `|` inside code divides the cell; write `\|`";
                problems.push(Problem::new(&page.path, row.number, what));
            } else if has != wants {
                let what = format!("the row has {has} cells, the head {wants}");
                problems.push(Problem::new(&page.path, row.number, what));
            }
        }
    }
    let open = prose(&page.text).filter(|line| line.text.matches('`').count() % 2 == 1);
    problems.extend(
        open.map(|l| Problem::new(&page.path, l.number, "a code span goes over the end of the line")),
    );
    problems
}

/// Whether a bar inside a code span is not escaped.
fn bar_in_code(row: &str) -> bool {
    let blanked = without_code(row);
    row.char_indices().any(|(at, c)| c == '|' && blanked.as_bytes()[at] == b' ' && !row[..at].ends_with('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rows: &str) -> Vec<String> {
        let text = format!("| a | b |\n|---|---|\n{rows}\n");
        let page = Page { path: "p.md".into(), text, chapter: false };
        check(&page).into_iter().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn a_bare_bar_in_code_is_found_and_an_escaped_one_is_not() {
        assert_eq!(found(r"| `\|x\|` | 1 |"), Vec::<String>::new());
        assert!(found("| `|x|` | 1 |")[0].starts_with("p.md:3: a bare `|` inside code"));
    }

    #[test]
    fn a_row_with_a_cell_too_few_or_too_many_is_found() {
        assert_eq!(found("| 1 |"), ["p.md:3: the row has 1 cells, the head 2"]);
        assert_eq!(found("| 1 | 2 |\n| 1 | 2 | 3 |"), ["p.md:4: the row has 3 cells, the head 2"]);
    }

    #[test]
    fn a_code_span_that_does_not_end_in_its_line_is_found() {
        assert_eq!(found("\nfrom `a\nto b`").len(), 2);
    }
}
