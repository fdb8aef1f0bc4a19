//! Every command that README, docs and `--help` show does what it is shown for: it is collected from there and run.
//!
//! Long ones run in a short form: [`CHEAP`] sets these flags on top of what is shown. Only parsed, by
//! `every_documented_command_parses` in `src/lib.rs`: `data fetch` without `--help`, which needs the network.

mod common;
#[path = "common/documented.rs"]
mod documented;

use common::{Result, cli, run_in};
use documented::{Documented, commands, filled, repository};

/// What makes a verb take seconds, whatever else is asked of it.
const CHEAP: &[(&str, &[&str])] = &[
    ("train", &["--epochs=1", "--depth=8", "--limit=32", "--batch=16", "--test-limit=16", "--warmup=0"]),
    ("eval", &["--limit=16"]),
    ("calibrate", &["--samples=500"]),
    ("ptq", &["--limit=16", "--calibration-images=16", "--iterations=1"]),
    ("qat", &["--epochs=1", "--limit=32", "--test-limit=16", "--calibration-images=16"]),
    ("table", &["--epochs=1", "--limit=32", "--test-limit=16", "--calibration-images=16", "--bits=W8A8"]),
    (
        "search",
        &[
            "--images=16",
            "--calibration-images=16",
            "--evaluations=1",
            "--iterations=1",
            "--floor=0",
            "--max-bits=2",
        ],
    ),
    ("inspect", &["--images=8"]),
    ("bench", &["--batch=2", "--repeat=1"]),
];

/// Other values of flags where a command has them: a share of what little is used, a size that everything is within.
const FITTING: &[(&str, &str)] = &[("--hold-out", "8"), ("--at-most", "1000")];

/// Needs the network.
const FETCH: [&str; 2] = ["data", "fetch"];

/// The arguments, with those of [`CHEAP`] in the place of their own.
fn cheap(arguments: &[String]) -> Vec<String> {
    let mut words = arguments.to_vec();
    let of_verb = CHEAP.iter().find(|(verb, _)| *verb == words[0]).map_or(&[][..], |(_, flags)| flags);
    if words.iter().any(|word| word == "--help") {
        return words;
    }
    for flag in of_verb {
        let name = flag.split('=').next().expect("a name");
        if let Some(at) = words.iter().position(|word| word == name) {
            words.drain(at..at + 2);
        }
        words.push((*flag).to_owned());
    }
    for (flag, value) in FITTING {
        if let Some(at) = words.iter().position(|word| word == flag) {
            (*value).clone_into(&mut words[at + 1]);
            words.retain(|word| word != "--floor=0"); // the other goal of a search
        }
    }
    let learning = ["adaround", "brecq", "qdrop", "adaquant", "--config"];
    if !words.iter().any(|word| learning.iter().any(|name| word.contains(name))) {
        words.retain(|word| word != "--iterations=1"); // only what learns takes it
    }
    if words[0] == "train" && words.iter().any(|word| word == "--init") {
        words.retain(|word| word != "--depth=8"); // the weights have one
    }
    words
}

#[test]
fn every_documented_command_runs() {
    let (mut ran, mut looked_up) = (0, 0);
    for (shown, command) in commands() {
        match command {
            Documented::Cli(words)
                if words.starts_with(&FETCH.map(String::from)) && !words.contains(&"--help".into()) => {}
            Documented::Cli(words) => {
                let words = cheap(&filled(&words));
                let dir = tempfile::tempdir().unwrap();
                let result: Result = cli(&[]).args(&words).current_dir(dir.path()).output().unwrap().into();
                assert_eq!(result.code, 0, "{shown}\nran as {words:?}\n{result:?}");
                ran += 1;
            }
            Documented::Cargo(words) => {
                exists(&shown, &words);
                looked_up += 1;
            }
            Documented::Script(path) => {
                assert!(path.is_file(), "{shown}: there is no {}", path.display());
                looked_up += 1;
            }
        }
    }
    assert!(ran >= 20 && looked_up >= 8, "{ran} ran, {looked_up} were looked up: are they still found?");
}

/// Package and target of a command of cargo.
fn exists(shown: &str, words: &[String]) {
    let words = words.split(|word| word == "--").next().expect("cargo's own arguments");
    assert!(
        ["build", "test", "bench", "run", "install"].contains(&&*words[0]),
        "{shown}: CI runs no such command"
    );
    let after = |flag: &str| words.iter().position(|word| word == flag).map(|at| words[at + 1].clone());
    let package = repository().join(after("-p").or(after("--path")).unwrap_or_default());
    assert!(package.join("Cargo.toml").is_file(), "{shown}: no such package");
    for (flag, folder) in [("--test", "tests"), ("--bench", "benches"), ("--example", "examples")] {
        let Some(target) = after(flag) else { continue };
        let places = [format!("{folder}/{target}.rs"), format!("{folder}/{target}/main.rs")];
        assert!(places.iter().any(|place| package.join(place).is_file()), "{shown}: no such target");
    }
}

#[test]
fn every_verb_that_help_lists_has_help() {
    let dir = tempfile::tempdir().unwrap();
    let help = run_in(dir.path(), &["--help"]).stdout;
    let verbs =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> = verbs.filter_map(|line| line.split_whitespace().next()).collect();
    assert!(verbs.len() >= 12, "{help}");
    for verb in verbs.into_iter().filter(|verb| *verb != "help") {
        let result = run_in(dir.path(), &[verb, "--help"]);
        assert!(result.code == 0 && result.stdout.contains("Usage: cli"), "{verb}: {result:?}");
    }
}
