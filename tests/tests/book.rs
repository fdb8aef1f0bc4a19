//! The documentation holds what it says: `docs` against the source, as `tests::book` tells.
//!
//! `BLESS=1 cargo test -p tests --test book` writes excerpts that have drifted anew.

use std::fs;
use std::path::{Path, PathBuf};

use tests::book::names::Names;
use tests::book::{Book, Problem, chapters, equations, excerpt, files, links, names, tables};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

#[track_caller]
fn none(problems: &[Problem]) {
    let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(all.is_empty(), "{} problems:\n{}", all.len(), all.join("\n"));
}

#[test]
fn excerpts_are_the_source() {
    let book = Book::read(&root());
    let source = |path: &str| fs::read_to_string(book.root.join(path)).ok();
    let mut problems = excerpt::unused(&book.sources, &book.pages);
    let mut shown = 0;
    for page in &book.pages {
        let (found, right) = excerpt::check(page, &source);
        shown += excerpt::excerpts(&page.text).len();
        if right != page.text && std::env::var_os("BLESS").is_some() {
            fs::write(book.root.join(&page.path), right).expect("the page can be written");
        } else {
            problems.extend(found);
        }
    }
    none(&problems);
    assert!(shown >= 10, "{shown} excerpts: are they still found?");
}

#[test]
fn every_equation_has_one_number_and_one_place() {
    let book = Book::read(&root());
    none(&equations::check(&book.pages, &book.sources));
    let defined: usize = book.pages.iter().map(|page| equations::defined(&page.text).len()).sum();
    assert!(defined >= 20, "{defined} equations: are they still found?");
}

#[test]
fn every_link_leads_somewhere() {
    let book = Book::read(&root());
    none(&book.pages.iter().flat_map(|page| links::check(&book.root, page)).collect::<Vec<_>>());
}

#[test]
fn every_name_is_in_the_source() {
    let book = Book::read(&root());
    let mut sources = book.sources.clone();
    let scripts = ["sh", "py", "toml"].iter().flat_map(|extension| files(&book.root, extension));
    sources.extend(scripts.map(|path| (path.clone(), fs::read_to_string(book.root.join(path)).unwrap())));
    let names = Names::of(&sources);
    none(&book.pages.iter().flat_map(|page| names::check(page, &names)).collect::<Vec<_>>());
}

#[test]
fn tables_have_whole_rows() {
    let book = Book::read(&root());
    none(&book.pages.iter().flat_map(tables::check).collect::<Vec<_>>());
}

#[test]
fn every_chapter_ends_with_exercises() {
    let book = Book::read(&root());
    none(&book.pages.iter().filter_map(chapters::without_exercises).collect::<Vec<_>>());
    let chapters = book.pages.iter().filter(|page| page.chapter).count();
    assert!(chapters >= 10, "{chapters} chapters: are they still found?");
}

#[test]
fn every_page_is_in_the_table_of_contents() {
    let root = root();
    let summary = fs::read_to_string(root.join(chapters::SUMMARY)).expect("a table of contents");
    none(&chapters::unlisted(&summary, &files(&root, "md")));
}

/// The files of the first walk are for somebody who wants to know what is computed, not how fast.
#[test]
fn the_files_of_the_walk_do_not_speak_of_speed() {
    let book = Book::read(&root());
    let walk = book.pages.iter().find(|page| page.path == "docs/one-weight.md").expect("the walk");
    let mut files: Vec<String> = excerpt::excerpts(&walk.text)
        .into_iter()
        .map(|excerpt| excerpt.of.split('#').next().expect("a path").to_owned())
        .collect();
    files.sort();
    files.dedup();
    assert_eq!(files.len(), 5, "{files:?}");
    let mut problems = Vec::new();
    for path in &files {
        let text = fs::read_to_string(book.root.join(path)).expect("a source");
        for (i, line) in text.lines().enumerate() {
            for word in ["fast", "slow", "speed", "kernel", "simd", "avx", "rayon", "vector", "cache"] {
                if line.to_lowercase().contains(word) {
                    problems.push(Problem::new(path, i + 1, format!("speaks of `{word}`")));
                }
            }
        }
    }
    none(&problems);
}
