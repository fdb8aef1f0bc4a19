//! The documentation is a book, and its statements about the source are checked like code.
//!
//! `docs/SUMMARY.md` lists the pages; numbered ones are chapters. Each check takes pages and gives the [`Problem`]s it
//! finds, and has tests of its own that show it finding one:
//! - [`excerpt`]: code that a page shows is the source's, by marker;
//! - [`equations`]: an equation has one number and one place, and no number is used that has none;
//! - [`links`]: relative links and their anchors exist;
//! - [`names`]: tests and identifiers that are named exist;
//! - [`tables`]: rows have as many cells as their head;
//! - [`chapters`]: every page is listed, and every chapter ends with exercises.

pub mod chapters;
pub mod equations;
pub mod excerpt;
pub mod links;
pub mod markdown;
pub mod names;
pub mod tables;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A page of the documentation.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its path from the top of the repository, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
    /// Whether it is a chapter, not a page to look things up in.
    pub chapter: bool,
}

/// A statement that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file's path from the top of the repository.
    pub path: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

impl Problem {
    /// At a line of a file.
    pub fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// The repository with its pages and sources.
pub struct Book {
    /// The top of the repository.
    pub root: PathBuf,
    /// README and every page that `docs/SUMMARY.md` lists.
    pub pages: Vec<Page>,
    /// Every Rust file of the workspace but this checker: path and text.
    pub sources: Vec<(String, String)>,
}

impl Book {
    /// Reads the repository at `root`. Pages that are listed and missing are left out: [`links`] finds them.
    pub fn read(root: &Path) -> Self {
        let text = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let page = |path: &str, chapter| Page { path: path.to_owned(), text: text(path), chapter };
        let summary = page(chapters::SUMMARY, false);
        let listed = chapters::listed(&summary.text);
        let mut pages = vec![page("README.md", false)];
        pages.extend(listed.into_iter().map(|(path, chapter)| page(&path, chapter)));
        pages.retain(|page| !page.text.is_empty());
        pages.push(summary);
        let sources = files(root, "rs").into_iter().filter(|path| !path.starts_with("tests/src/book"));
        let sources = sources.map(|path| (path.clone(), text(&path))).collect();
        Self { root: root.to_owned(), pages, sources }
    }
}

/// Every file with this extension, from the top of the repository, in order; hidden and build folders are left out.
pub fn files(root: &Path, extension: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            if path.is_dir() && !name.starts_with('.') && !name.starts_with("target") && name != "runs" {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == extension) {
                let relative = path.strip_prefix(root).expect("it was found there");
                found.push(relative.to_string_lossy().replace('\\', "/"));
            }
        }
    }
    found.sort();
    found
}
