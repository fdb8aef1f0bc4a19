//! The house rules that a reader relies on: short files, `unsafe` in its islands, crates in one direction.

use std::fs;
use std::path::{Path, PathBuf};

/// The crates of product code; none uses those behind it.
const CRATES: [&str; 5] = ["engine", "quant", "models", "cli", "docs/demo/engine"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// Every file of product code, its path from the root and its text.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    CRATES.iter().for_each(|c| walk(&root().join(c).join("src"), &mut found));
    found.sort();
    assert!(found.len() > 200, "the sources are found");
    let name = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// Without comments and strings of documentation.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

#[test]
fn no_file_of_product_code_is_longer_than_300_lines() {
    let long = sources().into_iter().filter(|(name, _)| !name.contains("tests"));
    let long = long.map(|(name, text)| (text.lines().count(), name)).filter(|(lines, _)| *lines > 300);
    assert_eq!(long.collect::<Vec<_>>(), []);
}

#[test]
fn unsafe_code_stays_on_its_islands_and_says_why_it_is_sound() {
    let island = |name: &str| {
        name.starts_with("engine/src/kernel/")
            || name.starts_with("quant/src/kernel/")
            || ["engine/src/gemm.rs", "models/src/formats/mmap.rs"].contains(&name)
    };
    let opens = |line: &str| line.contains("unsafe {") || line.contains("unsafe impl");
    for (name, text) in sources() {
        let blocks = code(&text).filter(|line| opens(line)).count();
        assert!(blocks == 0 || island(&name), "{name}: {blocks} blocks of unsafe code outside the kernels");
        assert!(blocks == 0 || text.contains("SAFETY"), "{name}: unsafe code without a SAFETY note");
    }
}

#[test]
fn crates_depend_on_each_other_in_one_direction() {
    for (name, text) in sources() {
        let own = CRATES.iter().position(|krate| name.starts_with(&format!("{krate}/"))).unwrap();
        for above in &CRATES[own + 1..] {
            let uses = code(&text).any(|line| line.starts_with(&format!("use {above}::")));
            assert!(!uses, "{name} uses `{above}`, which is above it");
        }
    }
}
