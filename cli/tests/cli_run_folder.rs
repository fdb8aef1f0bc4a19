//! A run folder belongs to one process at a time, to one set of input files, and to whoever comes after a failed run.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};

use common::{
    changed_network, cli, data, network, records, run_in, signal, start, start_until_written, text, wait_for,
};
use serde_json::Value;

/// A tiny run that takes a while: ResNet-8, three steps an epoch.
const TRAIN: [&str; 13] = [
    "train",
    "--depth",
    "8",
    "--limit",
    "48",
    "--test-limit",
    "10",
    "--batch",
    "16",
    "--epochs",
    "400",
    "--checkpoint-every",
    "1",
];

/// Ends the program by `signal` and returns its exit code and what it said.
fn stop(mut child: Child, name: &str) -> (Option<i32>, String) {
    signal(&child, name);
    let mut said = String::new();
    std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_second_process_in_a_folder_is_told_who_holds_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = start(dir.path(), &[&TRAIN[..], &["--out", "run"]].concat());
    wait_for(&mut first, &dir.path().join("run/state.safetensors"));
    let holder = format!("run: in use by process {} (cli train", first.id());
    run_in(dir.path(), &["train", "--resume", "run"]).refused(3, &[&holder]);
    run_in(dir.path(), &[&TRAIN[..], &["--out", "run"]].concat()).refused(3, &[&holder]);
    // SIGTERM saves as Ctrl-C does, and a dead holder is none.
    let (code, said) = stop(first, "TERM");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("everything is saved; continue with `cli train --resume run`"), "{said}");
    for _ in 0..2 {
        start_until_written(dir.path(), &["train", "--resume", "run"], "run/state.safetensors");
    }
}

#[test]
fn a_run_goes_on_only_with_the_files_it_began_with() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let set = data(dir.path(), &records(48), &records(16));
    let qat = ["qat", "--weights", text(&weights), "--data", text(&set), "--batch", "16", "--epochs", "2"];
    let qat = [&qat[..], &["--calibration-images", "16", "--out", "run"]].concat();
    run_in(dir.path(), &[&qat[..], &["--json"]].concat()).json();
    let resume = ["qat", "--resume", "run", "--json"];
    let first = run_in(dir.path(), &resume).json();
    assert!(first["top1_int"].is_number());

    let original = fs::read(&weights).unwrap();
    changed_network(dir.path(), "network.safetensors", |c| c.tensors[0].1.data_mut()[0] += 1.0);
    let changed = ["network.safetensors (weights) is not the file that the run began with", "SHA-256"];
    run_in(dir.path(), &resume).refused(3, &changed);
    fs::write(&weights, original).unwrap();

    let mut other = records(48);
    other[1] ^= 1;
    fs::write(set.join("data_batch_1.bin"), other).unwrap();
    run_in(dir.path(), &resume).refused(3, &["data_batch_1.bin (data) is not the file", "put it back"]);
    fs::write(set.join("data_batch_1.bin"), records(48)).unwrap();

    // A run of a version that kept no checksums goes on, and says so.
    fs::remove_file(dir.path().join("run/inputs.json")).unwrap();
    let old = run_in(dir.path(), &resume);
    assert!(old.stderr.contains("kept no checksums"), "{old:?}");
    assert_eq!(old.json()["top1_int"], first["top1_int"]);
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn half_a_last_line_of_metrics_is_made_whole_from_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let train =
        ["train", "--depth", "8", "--limit", "48", "--test-limit", "10", "--batch", "16", "--epochs", "2"];
    run_in(dir.path(), &[&train[..], &["--out", "run"]].concat());
    let file = dir.path().join("run/metrics.jsonl");
    let whole = lines(&file);
    assert_eq!(whole.len(), 2);
    let bytes = fs::read(&file).unwrap();
    for torn in [&bytes[..bytes.len() - 30], &[&bytes[..bytes.len() - 30], b"\0\0\xff\n"].concat()] {
        fs::write(&file, torn).unwrap();
        let json = run_in(dir.path(), &["train", "--resume", "run", "--json"]).json();
        assert_eq!(json["epochs"], 2);
        assert_eq!(lines(&file), whole);
    }
}

#[test]
fn a_folder_without_results_is_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let set = data(dir.path(), &records(20), &records(20));
    let ptq = [
        "ptq",
        "--weights",
        text(&weights),
        "--data",
        text(&set),
        "--calibration-images",
        "16",
        "--out",
        "p",
    ];
    let folder = dir.path().join("p");
    // What a run that failed leaves.
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.toml"), "verb = \"ptq\"\n").unwrap();
    run_in(dir.path(), &[&ptq[..], &["--json"]].concat()).json();
    run_in(dir.path(), &ptq)
        .refused(3, &["p: holds a run of `ptq` already; choose another folder with --out"]);

    let calibrate = ["calibrate", "--samples", "100", "--bits", "4", "--out", "c", "--json"];
    let folder = dir.path().join("c");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.toml"), "verb = \"calibrate\"\n").unwrap();
    fs::write(folder.join("metrics.jsonl"), "{}\n").unwrap();
    run_in(dir.path(), &calibrate).json();
    assert_eq!(lines(&folder.join("metrics.jsonl")).len(), 2, "of this run alone");

    let folder = dir.path().join("t");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("config.toml"), "verb = \"train\"\n").unwrap();
    // Of a run that was killed before its first checkpoint; the new one begins with other files.
    let of_another =
        r#"[{"role": "data", "path": "data_batch_1.bin", "bytes": 1, "sha256": "0000000000000"}]"#;
    fs::write(folder.join("inputs.json"), of_another).unwrap();
    let train =
        ["train", "--depth", "8", "--limit", "32", "--test-limit", "10", "--batch", "16", "--epochs", "1"];
    run_in(dir.path(), &[&train[..], &["--out", "t", "--json"]].concat()).json();
    run_in(dir.path(), &[&train[..], &["--out", "t"]].concat()).refused(3, &["continue it with --resume"]);
}

/// A run that can go on is not lost to a verb that cannot, and settings that were written by hand not to those of the run.
#[test]
fn an_unfinished_run_of_another_verb_stays() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    for (verb, left) in [("train", "state.safetensors"), ("qat", "metrics.jsonl"), ("table", "cells/a.json")]
    {
        let folder = dir.path().join(verb);
        fs::create_dir_all(folder.join(left).parent().unwrap()).unwrap();
        fs::write(folder.join("config.toml"), format!("verb = \"{verb}\"\n")).unwrap();
        fs::write(folder.join("inputs.json"), "[]").unwrap();
        fs::write(folder.join(left), "x").unwrap();
        let holds = format!("holds a run of `{verb}` already; continue it with --resume");
        let few = ["--weights", text(&weights), "--images", "0"];
        let inspect = [&["inspect", "--out", verb][..], &few].concat();
        let calibrate = vec!["calibrate", "--samples", "100", "--bits", "4", "--out", verb];
        for arguments in [inspect, calibrate, vec!["ptq", "--weights", text(&weights), "--out", verb]] {
            run_in(dir.path(), &arguments).refused(3, &[&holds]);
        }
        assert!(folder.join(left).exists() && folder.join("inputs.json").exists());
    }
    let own = dir.path().join("own");
    fs::create_dir(&own).unwrap();
    let mine = "# mine\nsamples = 100\nbits = [4]\n";
    fs::write(own.join("config.toml"), mine).unwrap();
    let arguments = ["calibrate", "--config", "own/config.toml", "--out", "own"];
    run_in(dir.path(), &arguments).refused(2, &["own/config.toml, which this command reads"]);
    assert_eq!(fs::read_to_string(own.join("config.toml")).unwrap(), mine);
}

#[test]
fn a_search_that_was_killed_comes_to_the_same_end() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let set = data(dir.path(), &records(20), &records(400));
    let search = [
        &["search", "--weights", text(&weights), "--data", text(&set), "--floor", "5", "--images", "200"][..],
        &["--searcher", "annealing", "--evaluations", "120"],
    ]
    .concat();
    let whole = run_in(dir.path(), &[&search[..], &["--out", "whole", "--json"]].concat()).json();
    let mut child = start(dir.path(), &[&search[..], &["--out", "torn"]].concat());
    wait_for(&mut child, &dir.path().join("torn/metrics.jsonl"));
    let (code, said) = stop(child, "INT");
    assert_eq!(code, Some(130), "{said}");
    assert!(
        said.contains("all candidates measured are saved; continue with `cli search --resume torn`"),
        "{said}"
    );
    let file = dir.path().join("torn/metrics.jsonl");
    let kept = fs::read(&file).unwrap();
    fs::write(&file, [&kept[..], b"{\"bits\":[8,"].concat()).unwrap();
    let resumed = run_in(dir.path(), &["search", "--resume", "torn", "--json"]).json();
    for key in ["front", "best", "baseline", "uniform", "evaluations"] {
        assert_eq!(whole[key], resumed[key], "{key}");
    }
    assert_eq!(fs::read(&file).unwrap(), fs::read(dir.path().join("whole/metrics.jsonl")).unwrap());
}

#[test]
fn the_line_that_resumes_names_the_program_as_it_was_started() {
    let dir = tempfile::tempdir().unwrap();
    let mut installed = std::process::Command::new(env!("CARGO_BIN_EXE_quantlab"));
    installed.args(TRAIN).args(["--out", "run"]).current_dir(dir.path());
    let mut child = installed.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(&mut child, &dir.path().join("run/state.safetensors"));
    let (code, said) = stop(child, "INT");
    assert_eq!(code, Some(130), "{said}");
    assert!(said.contains("continue with `quantlab train --resume run`"), "{said}");
}

#[test]
fn every_long_verb_says_what_it_has_saved() {
    let dir = tempfile::tempdir().unwrap();
    for (arguments, folder, sentence) in [
        (&["ptq", "--out", "p"][..], "p", "nothing is saved yet; begin again with the same command"),
        (&["table", "--out", "t"], "t", "continue with `cli table --resume t`"),
        (&["qat", "--out", "q"], "q", "`cli qat --resume q`"),
    ] {
        let mut child = start(dir.path(), arguments);
        wait_for(&mut child, &dir.path().join(folder).join("config.toml"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let (code, said) = stop(child, "INT");
        assert_eq!(code, Some(130), "{arguments:?}: {said}");
        assert!(said.contains(sentence), "{said}");
    }
    // And the folder of the one that cannot resume is free again.
    start_until_written(dir.path(), &["ptq", "--out", "p"], "p/config.toml");
}

#[test]
fn nobody_has_to_listen() {
    let dir = tempfile::tempdir().unwrap();
    let deaf = |arguments: &[&str]| {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        cli(arguments).current_dir(dir.path()).stdout(Stdio::null()).stderr(writer).spawn().unwrap()
    };
    assert_eq!(deaf(&["train", "--depth", "21"]).wait().unwrap().code(), Some(2));
    // With --json the lines for people go to stderr, and the result must not be lost with them.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let calibrate = ["calibrate", "--samples", "100", "--bits", "4", "--json"];
    let output = cli(&calibrate).current_dir(dir.path()).stderr(writer).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"{"), "{output:?}");
    for (verb, folder) in [("ptq", "p"), ("search", "s")] {
        let mut child = deaf(&[verb, "--out", folder]);
        wait_for(&mut child, &dir.path().join(folder).join("config.toml"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        signal(&child, "INT");
        assert_eq!(child.wait().unwrap().code(), Some(130), "{verb}");
    }
}

#[test]
fn a_seed_that_settings_cannot_hold_is_refused_by_its_flag() {
    let dir = tempfile::tempdir().unwrap();
    for verb in ["calibrate", "eval", "infer", "ptq", "train"] {
        let refused = run_in(dir.path(), &[verb, "--seed", "9223372036854775808"]);
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(
            refused.stderr.contains("--seed") && refused.stderr.contains("9223372036854775807"),
            "{refused:?}"
        );
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"n\xff.safetensors");
    let output = common::cli(&["ptq", "--weights"]).arg(name).current_dir(dir.path()).output().unwrap();
    common::Result::from(output).refused(2, &["n\u{fffd}.safetensors", "not valid UTF-8"]);
    // Also of verbs without settings, whose results name files.
    for words in [&["infer"][..], &["export", "--to", "onnx", "--out"], &["report", "run", "--out"]] {
        let output = common::cli(words).arg(name).current_dir(dir.path()).output().unwrap();
        common::Result::from(output).refused(2, &["not valid UTF-8"]);
    }
}
