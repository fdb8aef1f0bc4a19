//! The pages are listed in `docs/SUMMARY.md`, in mdBook's form: items of a list are chapters, links alone are pages to
//! look things up in. Every chapter ends with exercises, one of them in code.

use super::markdown::{Role, lines, link_targets, prose};
use super::{Page, Problem};

/// The table of contents.
pub const SUMMARY: &str = "docs/SUMMARY.md";

/// The pages that a table of contents lists, from the top of the repository, and whether each is a chapter.
pub fn listed(summary: &str) -> Vec<(String, bool)> {
    let page = |line: &str| {
        let target = link_targets(line).into_iter().next()?;
        Some((format!("docs/{target}"), line.trim_start().starts_with("- ")))
    };
    prose(summary).filter_map(|line| page(line.text)).collect()
}

/// Pages in `all` (paths of Markdown files) under `docs` that the table of contents does not list, and those it lists
/// twice.
pub fn unlisted(summary: &str, all: &[String]) -> Vec<Problem> {
    let listed = listed(summary);
    let pages = all.iter().filter(|path| path.starts_with("docs/") && *path != SUMMARY);
    let times = |path: &String| listed.iter().filter(|(page, _)| page == path).count();
    let wrong = pages.filter(|path| times(path) != 1);
    wrong.map(|path| Problem::new(path, 1, format!("{SUMMARY} lists it {} times", times(path)))).collect()
}

/// Chapters that lack exercises at their end.
pub fn without_exercises(page: &Page) -> Option<Problem> {
    if !page.chapter {
        return None;
    }
    let all = lines(&page.text);
    let mut headings = all.iter().filter(|line| line.role == Role::Text && line.text.starts_with("## "));
    let last = headings.next_back().filter(|line| line.text.trim() == "## Exercises");
    let numbered = |from: usize| all[from..].iter().any(|line| line.text.starts_with("1. "));
    let in_code = |from: usize| all[from..].iter().any(|line| line.text.contains("](exercises/src/"));
    match last {
        Some(heading) if numbered(heading.number) && in_code(heading.number) => None,
        _ => {
            let what =
                "a chapter ends with a section `## Exercises`, a numbered list that links into exercises/src";
            Some(Problem::new(&page.path, all.len(), what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_items_are_chapters_and_other_links_are_not() {
        let summary = "# Summary\n\n[Intro](README.md)\n\n- [One](1.md)\n  - [Two](b/2.md)\n";
        let expected = [("docs/README.md", false), ("docs/1.md", true), ("docs/b/2.md", true)];
        assert_eq!(listed(summary), expected.map(|(path, chapter)| (path.to_owned(), chapter)));
    }

    #[test]
    fn a_page_that_nothing_lists_is_found() {
        let all = ["README.md", "docs/1.md", "docs/2.md", SUMMARY].map(String::from);
        let problems = unlisted("- [One](1.md)\n", &all);
        assert_eq!(problems.iter().map(|p| p.path.as_str()).collect::<Vec<_>>(), ["docs/2.md"]);
        let twice = unlisted("- [One](1.md)\n- [Again](1.md)\n- [Two](2.md)\n", &all);
        assert_eq!(twice[0].to_string(), "docs/1.md:1: docs/SUMMARY.md lists it 2 times");
    }

    #[test]
    fn a_chapter_without_exercises_at_its_end_is_found() {
        let found = |text: &str, chapter| {
            without_exercises(&Page { path: "p.md".into(), text: text.into(), chapter }).is_some()
        };
        let code = "1. Do [f](exercises/src/a.rs).\n";
        assert!(!found(&format!("# A\n\n## Exercises\n\n{code}"), true));
        assert!(found("# A\n", true) && !found("# A\n", false));
        assert!(found(&format!("# A\n\n## Exercises\n\n{code}\n## More\n"), true), "not at the end");
        assert!(found("# A\n\n## Exercises\n\n1. Do.\n", true), "none in code");
        assert!(found("# A\n\n1. Do.\n\n## Exercises\n", true), "an empty section");
    }
}
