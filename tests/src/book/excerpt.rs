//! Code in the pages, taken from the source by marker.
//!
//! In the source, `// book: NAME` and `// book end` stand around some lines. In a page, a code block that comes after
//! the comment `<!-- excerpt: PATH#NAME -->` holds the same lines, without their common indentation.

use super::markdown::{Role, lines};
use super::{Page, Problem};

const BEGIN: &str = "// book: ";
const END: &str = "// book end";

/// An excerpt as a page asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// File and marker, `PATH#NAME`.
    pub of: String,
    /// The line of the comment, counted from 1.
    pub line: usize,
    /// The lines of the code block, from the first to before the last, counted from 0; `None` without a block.
    pub block: Option<(usize, usize)>,
}

/// All excerpts of a page.
pub fn excerpts(text: &str) -> Vec<Excerpt> {
    let all = lines(text);
    let mut found = Vec::new();
    for (i, line) in all.iter().enumerate().filter(|(_, line)| line.role == Role::Text) {
        let asked =
            line.text.trim().strip_prefix("<!-- excerpt: ").and_then(|rest| rest.strip_suffix(" -->"));
        let Some(of) = asked else { continue };
        let opens = all.get(i + 1).is_some_and(|next| next.role == Role::Fence);
        let inside = all[(i + 2).min(all.len())..].iter().take_while(|line| line.role != Role::Fence).count();
        let block = opens.then_some((i + 2, i + 2 + inside));
        found.push(Excerpt { of: of.to_owned(), line: i + 1, block });
    }
    found
}

/// The lines between the markers `name` of a source file, without their common indentation.
///
/// # Errors
/// If the marker is missing, stands there twice, or has no end.
pub fn region(source: &str, name: &str) -> Result<Vec<String>, String> {
    let begins = |line: &&str| line.trim().strip_prefix(BEGIN) == Some(name);
    match source.lines().filter(begins).count() {
        0 => return Err(format!("the source has no line `{BEGIN}{name}`")),
        1 => {}
        n => return Err(format!("the source has {n} lines `{BEGIN}{name}`")),
    }
    let after: Vec<&str> = source.lines().skip_while(|line| !begins(line)).skip(1).collect();
    let end = after.iter().position(|line| line.trim() == END);
    let Some(end) = end else { return Err(format!("`{BEGIN}{name}` has no `{END}`")) };
    let body = &after[..end];
    let indent = |line: &&&str| line.len() - line.trim_start().len();
    let common = body.iter().filter(|line| !line.trim().is_empty()).map(|l| indent(&l)).min().unwrap_or(0);
    Ok(body.iter().map(|line| line.get(common..).unwrap_or("").trim_end().to_owned()).collect())
}

/// Excerpts of `page` that are not what `source(path)` holds, and the page with them put right.
pub fn check(page: &Page, source: &dyn Fn(&str) -> Option<String>) -> (Vec<Problem>, String) {
    let mut problems = Vec::new();
    let mut all: Vec<String> = page.text.lines().map(str::to_owned).collect();
    for Excerpt { of, line, block } in excerpts(&page.text).into_iter().rev() {
        let mut say = |what: String| problems.push(Problem::new(&page.path, line, format!("`{of}`: {what}")));
        let Some((path, name)) = of.split_once('#') else {
            say("an excerpt is PATH#NAME".into());
            continue;
        };
        let Some(text) = source(path) else {
            say("there is no such file".into());
            continue;
        };
        match (region(&text, name), block) {
            (Err(what), _) => say(what),
            (_, None) => say("no code block follows in the next line".into()),
            (Ok(wanted), Some((from, to))) if all[from..to] != wanted[..] => {
                say("the page shows other code; BLESS=1 writes the source's into it".into());
                all.splice(from..to, wanted);
            }
            _ => {}
        }
    }
    problems.reverse();
    (problems, all.join("\n") + "\n")
}

/// Markers in `sources` that no page shows.
pub fn unused(sources: &[(String, String)], pages: &[Page]) -> Vec<Problem> {
    let shown: Vec<String> = pages.iter().flat_map(|p| excerpts(&p.text)).map(|excerpt| excerpt.of).collect();
    let mut problems = Vec::new();
    for (path, text) in sources {
        for (i, line) in text.lines().enumerate() {
            let Some(name) = line.trim().strip_prefix(BEGIN) else { continue };
            if !shown.contains(&format!("{path}#{name}")) {
                problems.push(Problem::new(path, i + 1, format!("no page shows `{name}`")));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "a\n    // book: f\n    fn f() {\n        1\n\n    }\n    // book end\nb\n";

    fn page(code: &str) -> Page {
        let text = format!("# P\n\n<!-- excerpt: s.rs#f -->\n```rust\n{code}\n```\nrest\n");
        Page { path: "p.md".into(), text, chapter: true }
    }

    fn source(path: &str) -> Option<String> {
        (path == "s.rs").then(|| SOURCE.to_owned())
    }

    #[test]
    fn the_same_code_passes_whatever_its_indentation() {
        let page = page("fn f() {\n    1\n\n}");
        assert_eq!(check(&page, &source), (vec![], page.text.clone()));
    }

    #[test]
    fn drift_is_found_and_put_right() {
        let (problems, right) = check(&page("fn f() {\n    2\n}"), &source);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].to_string().starts_with("p.md:3: `s.rs#f`: the page shows other code"));
        assert_eq!(right, page("fn f() {\n    1\n\n}").text);
    }

    #[test]
    fn a_missing_file_marker_end_or_block_is_found() {
        let found = |text: &str, source: &str| {
            let page = Page { path: "p.md".into(), text: text.into(), chapter: true };
            let (problems, _) = check(&page, &|path| (path == "s.rs").then(|| source.to_owned()));
            problems.into_iter().next().map_or(String::new(), |problem| problem.what)
        };
        let asks = "<!-- excerpt: s.rs#f -->\n```rust\n```\n";
        assert!(found(&asks.replace("s.rs", "t.rs"), SOURCE).contains("no such file"));
        assert!(found(asks, "").contains("has no line `// book: f`"));
        assert!(found(asks, &[SOURCE, SOURCE].concat()).contains("has 2 lines"));
        assert!(found(asks, "// book: f\n").contains("has no `// book end`"));
        assert!(found("<!-- excerpt: s.rs#f -->\n\ntext\n", SOURCE).contains("no code block"));
    }

    #[test]
    fn a_marker_that_no_page_shows_is_found() {
        let sources = vec![("s.rs".to_owned(), SOURCE.to_owned())];
        assert_eq!(unused(&sources, &[page("")]), []);
        assert_eq!(unused(&sources, &[])[0].to_string(), "s.rs:2: no page shows `f`");
    }
}
