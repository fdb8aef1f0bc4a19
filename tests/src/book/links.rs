//! Relative links of the pages, to files, folders and headings.

use std::fs;
use std::path::Path;

use super::markdown::{anchors, link_targets, prose};
use super::{Page, Problem};

/// Links of `page` that lead nowhere in the repository at `root`. Links to other hosts are not followed.
pub fn check(root: &Path, page: &Page) -> Vec<Problem> {
    let mut problems = Vec::new();
    for line in prose(&page.text) {
        for target in link_targets(line.text) {
            if let Some(what) = broken(root, page, &target) {
                problems.push(Problem::new(&page.path, line.number, what));
            }
        }
    }
    problems
}

fn broken(root: &Path, page: &Page, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let folder = Path::new(&page.path).parent().expect("a file");
    let path = root.join(folder).join(file);
    if !file.is_empty() && !path.exists() {
        return Some(format!("`{target}` does not exist"));
    }
    if heading.is_empty() {
        return None;
    }
    let text = if file.is_empty() { page.text.clone() } else { fs::read_to_string(path).unwrap_or_default() };
    (!anchors(&text).iter().any(|anchor| anchor == heading)).then(|| format!("`{target}`: no such heading"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_and_a_missing_heading_are_found() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("docs")).unwrap();
        fs::write(root.path().join("lib.rs"), "").unwrap();
        fs::write(root.path().join("docs/b.md"), "# B\n## The part\n").unwrap();
        let text = "# A\n[1](../lib.rs) [2](b.md#the-part) [3](#a) [4](https://example.org/x)\n\
                    [5](lib.rs)\n[6](b.md#part) [7](#c)\n";
        let page = Page { path: "docs/a.md".into(), text: text.into(), chapter: true };
        let problems: Vec<_> = check(root.path(), &page).iter().map(ToString::to_string).collect();
        let expected = [
            "docs/a.md:3: `lib.rs` does not exist",
            "docs/a.md:4: `b.md#part`: no such heading",
            "docs/a.md:4: `#c`: no such heading",
        ];
        assert_eq!(problems, expected);
    }
}
