//! Every command that the documentation shows, for the two tests that hold it to its word: one parses them all
//! (`src/lib.rs`), one runs them (`cli_documented.rs`).
//!
//! Collected are the lines of `sh` blocks, and code in the text that begins with `cli ` or `cargo `. How they are read:
//! - `[--flag X]` is left out once and kept once, `A|B` is A once and B once;
//! - `DIR`, `FILE` and `WxAy` stand for the bundled slice, the bundled network and W4A4, and so does a data or weight
//!   file that is not in the repository; behind `--compare`, which takes quantized networks, for a bundled one of these, and
//!   behind `--model` for the integer-only one; a picture that is not there is one of the book's;
//! - `cli VERB` in the text names the verb, and is read as `cli VERB --help`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The top of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

/// A command as it is to be checked.
#[derive(Debug)]
#[allow(dead_code)] // the test that parses reads the first kind only
pub enum Documented {
    /// Arguments of this program.
    Cli(Vec<String>),
    /// A command of cargo. This test is part of `cargo test`, and CI runs every bench: only the package and target
    /// that it names are looked up.
    Cargo(Vec<String>),
    /// Another program of the repository, which needs gigabytes of other runtimes or emulators: only looked up.
    Script(PathBuf),
}

/// All commands, each with the file it stands in.
pub fn commands() -> Vec<(String, Documented)> {
    let mut files: Vec<PathBuf> =
        ["README.md", "models/assets/README.md"].map(|f| repository().join(f)).into();
    for folder in ["docs", "docs/benchmarks"] {
        let entries = fs::read_dir(repository().join(folder)).expect("documentation");
        files.extend(entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "md")));
    }
    let mut all = Vec::new();
    for file in files {
        let name = file.strip_prefix(repository()).unwrap().display().to_string();
        let mut shown = BTreeSet::new();
        for text in shown_in(&fs::read_to_string(&file).unwrap()) {
            shown.extend(text.split(" && ").flat_map(|command| alternatives(command.trim())));
        }
        all.extend(shown.iter().filter_map(|command| Some((format!("{name}: {command}"), read(command)?))));
    }
    all
}

/// Lines of `sh` blocks, and inline code that is a command.
fn shown_in(markdown: &str) -> Vec<String> {
    let (mut shown, mut block) = (Vec::new(), None);
    for line in markdown.lines() {
        if let Some(language) = line.trim().strip_prefix("```") {
            block = if block.is_some() { None } else { Some(language.to_owned()) };
        } else if block.as_deref() == Some("sh") {
            shown.push(line.split(" #").next().unwrap_or("").trim().to_owned());
        } else if block.is_none() {
            let code = line.split('`').skip(1).step_by(2);
            let code = code.filter(|code| ["cli ", "cargo "].iter().any(|begin| code.starts_with(begin)));
            // In a table, `|` is written `\|`.
            shown.extend(code.map(|code| match code.split_once(' ') {
                Some(("cli", verb)) if !verb.contains(' ') => format!("cli {verb} --help"),
                _ => code.replace("\\|", "|"),
            }));
        }
    }
    shown.retain(|line| !line.is_empty());
    shown
}

/// A command for each choice that its notation leaves.
fn alternatives(command: &str) -> Vec<String> {
    if let Some((before, rest)) = command.split_once('[') {
        let (inside, after) = rest.split_once(']').expect("a bracket that closes");
        let without = format!("{}{after}", before.trim_end());
        return [alternatives(&without), alternatives(&format!("{before}{inside}{after}"))].concat();
    }
    let words: Vec<&str> = command.split(' ').collect();
    match words.iter().position(|word| word.contains('|')) {
        None => vec![command.to_owned()],
        Some(at) => {
            let with = |choice| [&words[..at], &[choice], &words[at + 1..]].concat().join(" ");
            words[at].split('|').flat_map(|choice| alternatives(&with(choice))).collect()
        }
    }
}

/// A command line, of whatever program; `None` for the shell's own and for package managers.
fn read(command: &str) -> Option<Documented> {
    // Quotes are the shell's.
    let words = command.split_whitespace().map(|word| word.trim_matches('\'').to_owned());
    let words: Vec<String> = words.collect();
    let after_dashes = words.iter().position(|word| word == "--").map(|at| words[at + 1..].to_vec());
    Some(match words[0].as_str() {
        "cli" => Documented::Cli(words[1..].to_vec()),
        // An example, which CI runs by itself, or the program.
        "cargo" if words.iter().any(|word| word == "--example") => Documented::Cargo(words[1..].to_vec()),
        "cargo" if words[1] == "run" => Documented::Cli(after_dashes.expect("cargo run -p cli -- VERB")),
        "cargo" => Documented::Cargo(words[1..].to_vec()),
        program if program.ends_with("pip") || words[1..] == ["-m", "venv", "venv"] => return None,
        program if program.contains("python") => Documented::Script(repository().join(&words[1])),
        program => Documented::Script(repository().join(program)),
    })
}

/// The arguments with real files and widths in the places of the documentation's names for them.
pub fn filled(arguments: &[String]) -> Vec<String> {
    let file = |path: &str| repository().join(path).display().to_string();
    let word = |word: &String, before: Option<&String>| {
        let network = match before.map_or("", String::as_str) {
            "--compare" => "models/assets/qat/ResNet20_W2A2_first.safetensors",
            "--model" => "models/assets/ResNet20_W8A8.safetensors",
            _ => "models/assets/ResNet20.safetensors",
        };
        match word.as_str() {
            "DIR" => file("models/assets/cifar10-slice"),
            "FILE" => file(network),
            "WxAy" => "W4A4".to_owned(),
            path if repository().join(path).exists() => file(path),
            path if [".th", ".safetensors"].iter().any(|end| path.ends_with(end)) => file(network),
            path if path.ends_with(".png") => file("docs/images/calibration/noise.png"),
            other => other.to_owned(),
        }
    };
    // What is written goes where it is said, never over a file of the repository.
    let before = std::iter::once(None).chain(arguments.iter().map(Some));
    let written = |before: Option<&String>| {
        before.is_some_and(|flag| ["--out", "--predictions"].contains(&flag.as_str()))
    };
    arguments
        .iter()
        .zip(before)
        .map(|(w, before)| if written(before) { w.clone() } else { word(w, before) })
        .collect()
}
