//! One number for each equation, in one registry.
//!
//! An equation is *defined* where a chapter writes it in a `text` block: the line begins with `eq N` and two spaces, or
//! ends with `(Na)`, the `a`-th of the derivations in chapter N. It is *used* wherever `eq N`, `equation N` or `(Na)`
//! stands. The registry, `docs/equations.md`, has a row for each: number, equation, meaning, function, test, chapter.

use super::markdown::{Role, cells, lines, link_targets, tables};
use super::{Page, Problem};

/// The page of the registry.
pub const REGISTRY: &str = "docs/equations.md";

/// A number and the line it stands in.
pub type Numbered = (String, usize);

/// The equations that a page writes out as its own.
pub fn defined(text: &str) -> Vec<Numbered> {
    let mut found = Vec::new();
    for line in lines(text).into_iter().filter(|line| line.role == Role::Code("text")) {
        let begins = line.text.trim_start().strip_prefix("eq ").and_then(|rest| rest.split_once("  "));
        let plain = begins.map(|(number, _)| number).filter(|n| n.chars().all(|c| c.is_ascii_digit()));
        let ends = line.text.trim_end().rsplit_once("  (").and_then(|(_, rest)| rest.strip_suffix(')'));
        let lettered = ends.filter(|number| is_lettered(number));
        found.extend(plain.or(lettered).map(|number| (number.to_owned(), line.number)));
    }
    found
}

/// The numbers that a line names: `eq 1`, `eq 1 and 3`, `eq 1 to 3`, `equation 7`, `(4a)`.
pub fn named(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let lower = line.to_lowercase();
    for word in ["eq ", "equation ", "equations "] {
        for (at, _) in lower.match_indices(word) {
            if lower[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
                continue; // the end of another word
            }
            let mut rest = lower[at + word.len()..].trim_start();
            loop {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                if digits == 0 {
                    break;
                }
                found.push(rest[..digits].to_owned());
                let joins = [" and ", " to ", "-"].iter().find_map(|join| rest[digits..].strip_prefix(join));
                let Some(more) = joins else { break };
                rest = more;
            }
        }
    }
    for (at, _) in lower.match_indices('(') {
        let inside = lower[at + 1..].split(')').next().unwrap_or("");
        found.extend(is_lettered(inside).then(|| inside.to_owned()));
    }
    found
}

/// Whether this is a number and one letter.
fn is_lettered(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    text.len() == digits.len() + 1 && !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit())
}

/// The rows of a table of equations: number, line, cells.
fn rows(page: &Page) -> Vec<(String, usize, Vec<&str>)> {
    let of_equations = |head: &[&str]| head.get(1) == Some(&"equation");
    let tables = tables(&page.text).into_iter().filter(|table| of_equations(&table.head));
    let row = |text| cells(text).first().map_or(String::new(), |cell| (*cell).to_owned());
    tables.flat_map(|t| t.rows).map(|line| (row(line.text), line.number, cells(line.text))).collect()
}

/// What does not fit together in the numbers of all pages and sources.
pub fn check(pages: &[Page], sources: &[(String, String)]) -> Vec<Problem> {
    let Some(registry) = pages.iter().find(|page| page.path == REGISTRY) else {
        return vec![Problem::new(REGISTRY, 1, "there is no registry of equations")];
    };
    let rows_of_registry = rows(registry);
    let known = |number: &str| rows_of_registry.iter().find(|(n, ..)| n == number);
    let mut problems = Vec::new();
    for (i, (number, line, cells)) in rows_of_registry.iter().enumerate() {
        let mut say = |what: String| problems.push(Problem::new(REGISTRY, *line, what));
        if rows_of_registry[..i].iter().any(|(n, ..)| n == number) {
            say(format!("equation {number} has two rows"));
        }
        let places = pages.iter().filter(|page| defined(&page.text).iter().any(|(n, _)| n == number));
        let places: Vec<&str> = places.map(|page| page.path.as_str()).collect();
        let linked = link_targets(cells.last().unwrap_or(&""));
        let linked: Vec<String> = linked.iter().map(|target| format!("docs/{target}")).collect();
        if places.is_empty() {
            say(format!("no chapter writes out equation {number}"));
        } else if linked != places {
            say(format!("equation {number} is written out in {}", places.join(", ")));
        }
    }
    for page in pages {
        let own = defined(&page.text);
        for (i, (number, line)) in own.iter().enumerate() {
            let mut say = |what: String| problems.push(Problem::new(&page.path, *line, what));
            if own[..i].iter().any(|(n, _)| n == number) {
                say(format!("equation {number} is defined twice"));
            }
            if known(number).is_none() {
                say(format!("equation {number} has no row in {REGISTRY}"));
            }
        }
        for (number, line, cells) in rows(page).into_iter().filter(|(n, ..)| !n.is_empty()) {
            let same = known(&number).is_some_and(|(_, _, other)| other.get(1) == cells.get(1));
            if !same {
                let what = format!("equation {number} reads otherwise in {REGISTRY}");
                problems.push(Problem::new(&page.path, line, what));
            }
        }
    }
    let pages = pages.iter().map(|page| (page.path.as_str(), page.text.as_str(), false));
    let sources = sources.iter().map(|(path, text)| (path.as_str(), text.as_str(), true));
    for (path, text, source) in pages.chain(sources) {
        for (i, line) in text.lines().enumerate().filter(|(_, line)| !source || line.contains("//")) {
            let unknown = named(line).into_iter().filter(|number| known(number).is_none());
            problems.extend(unknown.map(|n| Problem::new(path, i + 1, format!("there is no equation {n}"))));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(path: &str, text: &str) -> Page {
        Page { path: path.into(), text: text.into(), chapter: true }
    }

    fn registry(rows: &str) -> Page {
        page(REGISTRY, &format!("| number | equation | chapter |\n|---|---|---|\n{rows}"))
    }

    const ROWS: &str = "| 1 | `a` | [1](1.md) |\n| 1a | `b` | [1](1.md) |\n";
    const CHAPTER: &str = "# 1\n```text\neq 1   a\nb         (1a)\n```\nBy eq 1 and (1a).\n";

    fn found(pages: &[Page], source: &str) -> Vec<String> {
        check(pages, &[("s.rs".into(), source.into())]).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn numbers_are_read_in_all_their_forms() {
        let line = "Eq 1 to 3, equation 7 and (4a), seq 9, f(x), eq 5 and 6";
        assert_eq!(named(line), ["1", "3", "5", "6", "7", "4a"]);
        assert_eq!(defined(CHAPTER), [("1".into(), 3), ("1a".into(), 4)]);
    }

    #[test]
    fn what_fits_together_passes() {
        assert_eq!(found(&[registry(ROWS), page("docs/1.md", CHAPTER)], "//! eq 1\nlet eq = 5;"), [""; 0]);
    }

    #[test]
    fn a_number_that_is_defined_twice_is_found() {
        let second = page("docs/2.md", "```text\neq 1   other\n```\n");
        let problems = found(&[registry(ROWS), page("docs/1.md", CHAPTER), second], "");
        assert_eq!(problems, ["docs/equations.md:3: equation 1 is written out in docs/1.md, docs/2.md"]);
        let twice = CHAPTER.replace("b    ", "eq 1   c\nb    ");
        let problems = found(&[registry(ROWS), page("docs/1.md", &twice)], "");
        assert_eq!(problems, ["docs/1.md:4: equation 1 is defined twice"]);
        let problems = found(&[registry(&[ROWS, ROWS].concat()), page("docs/1.md", CHAPTER)], "");
        assert_eq!(problems.len(), 2);
    }

    #[test]
    fn a_number_that_is_used_and_not_defined_is_found() {
        let text = [CHAPTER, "And eq 4, and (1b).\n"].concat();
        let problems = found(&[registry(ROWS), page("docs/1.md", &text)], "/// eq 8");
        let expected = [
            "docs/1.md:7: there is no equation 4",
            "docs/1.md:7: there is no equation 1b",
            "s.rs:1: there is no equation 8",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn an_equation_that_one_side_lacks_or_words_otherwise_is_found() {
        let more = [ROWS, "| 2 | `c` | [1](1.md) |\n"].concat();
        let problems = found(&[registry(&more), page("docs/1.md", CHAPTER)], "");
        assert_eq!(problems, ["docs/equations.md:5: no chapter writes out equation 2"]);
        let readme = page("README.md", "| | equation |\n|---|---|\n| 1 | `a` |\n| 1a | `B` |\n| | `z` |\n");
        let problems = found(&[registry(ROWS), page("docs/1.md", CHAPTER), readme], "");
        assert_eq!(problems, ["README.md:4: equation 1a reads otherwise in docs/equations.md"]);
    }
}
