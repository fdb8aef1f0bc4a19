//! Saves on a disk that fails: each system call that changes a file in a run's folder fails in turn, with `ENOSPC` (from
//! then on: the disk is full), with `EIO`, or after half of a write. The program says so in one line with exit code 1 or 3,
//! what was there before stays whole, and the same run goes on to the bytes of one that nobody disturbed.
//!
//! The calls are made to fail by [`faults/disk.c`](faults/disk.c), which `cc` compiles here. The usual test lets some of the
//! calls fail, `FAULTS=all cargo test -p cli --test cli_faults -- --nocapture` every one in every way.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

use common::{Result, cli, data, network, records, run_in, start, start_until_written, text, wait_for};
use serde_json::Value;

/// The ways to fail, and whether each is a fault: a program has to write on after half a write.
const KINDS: [(&str, bool); 5] =
    [("from:28", true), ("once:5", true), ("torn:28", true), ("short", false), ("torn:5", true)];
/// How many faults of each verb the usual test takes.
const SAMPLE: usize = 8;

/// The library that fails; `None`, and a line that says so, where there is no C compiler.
fn disk() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<(tempfile::TempDir, PathBuf)>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("disk.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults/disk.c");
        let mut cc = Command::new("cc");
        let flags = ["-O1", "-U_FORTIFY_SOURCE", "-shared", "-fPIC", "-o", text(&library), source, "-ldl"];
        match cc.args(flags).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{source}: {said}");
                Some((folder, library))
            }
            Err(e) => {
                eprintln!("SKIPPED: no C compiler to make a failing disk with (cc: {e})");
                None
            }
        }
    });
    built.as_ref().map(|(_, library)| library.as_path())
}

/// Runs the program in `folder` on a disk that fails below `folder/run`, and returns the calls that it counted.
fn on_disk(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> (Result, Vec<String>) {
    let log = folder.join("calls");
    fs::remove_file(&log).ok();
    let mut command = cli(arguments);
    command.current_dir(folder).env("LD_PRELOAD", disk().expect("asked before"));
    command.env("FAULT_FOLDER", folder.canonicalize().unwrap().join("run")).env("FAULT_LOG", &log);
    let result = command.envs(environment.iter().copied()).output().unwrap().into();
    let calls = fs::read_to_string(log).unwrap_or_default();
    (result, calls.lines().map(str::to_owned).collect())
}

/// Every file below `folder`, by name.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(root, &path, found);
            } else {
                found.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(folder, folder, &mut found);
    found
}

/// What a run makes that is the same whenever it runs: the networks, but not the state, which holds seconds.
fn networks(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = files(run);
    found.retain(|name, _| {
        name.extension().is_some_and(|e| e == "safetensors") && !name.ends_with("state.safetensors")
    });
    found
}

/// Whether every file is whole by itself; the metrics, to which lines are added, may end in half a line.
fn whole(files: &BTreeMap<PathBuf, Vec<u8>>, when: &str) {
    for (name, bytes) in files {
        let shown = name.display();
        let said = String::from_utf8_lossy(bytes);
        match name.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => {
                let header = bytes.first_chunk().map_or(0, |n| u64::from_le_bytes(*n)) as usize;
                let json: Option<Value> =
                    bytes.get(8..8 + header).and_then(|json| serde_json::from_slice(json).ok());
                let json = json.unwrap_or_else(|| panic!("{when}: {shown} has no header"));
                let end = |tensor: &Value| tensor["data_offsets"][1].as_u64();
                let end = json.as_object().unwrap().values().filter_map(end).max().unwrap() as usize;
                assert_eq!(bytes.len(), 8 + header + end, "{when}: {shown}");
            }
            Some("json") => assert!(serde_json::from_str::<Value>(&said).is_ok(), "{when}: {shown}: {said}"),
            Some("toml") => assert!(said.ends_with('\n') && said.contains("seed = "), "{when}: {shown}"),
            Some("svg") => assert!(said.trim_end().ends_with("</svg>"), "{when}: {shown}"),
            Some("html") => assert!(said.trim_end().ends_with("</html>"), "{when}: {shown}"),
            Some("partial") => panic!("{when}: {shown} was left"),
            _ => {}
        }
    }
}

/// Whether `result` is success, or one line about a file and a code that says whose fault it was.
fn failed_well(result: &Result, number: &str, when: &str) -> bool {
    if result.code == 0 {
        return false;
    }
    let lines: Vec<&str> = result.stderr.lines().filter(|line| line.contains("error")).collect();
    let reason = if number == "28" { "No space left on device" } else { "Input/output error" };
    assert!([1, 3].contains(&result.code), "{when}: {result:?}");
    assert!(!result.stderr.contains("panicked"), "{when}: {result:?}");
    assert!(
        lines.len() == 1
            && lines[0].starts_with("error: cannot ")
            && lines[0].contains("run")
            && lines[0].contains(reason),
        "{when}: {result:?}"
    );
    true
}

/// Faults to try: all, or a sample that walks through calls and kinds.
fn chosen(calls: usize) -> Vec<(usize, usize)> {
    let kinds = KINDS.len();
    if std::env::var_os("FAULTS").is_some() {
        return (1..=calls).flat_map(|call| (0..kinds).map(move |kind| (call, kind))).collect();
    }
    let sample = SAMPLE.min(calls);
    (0..sample).map(|i| (1 + i * calls / sample, i % kinds)).collect()
}

/// Runs `first` on disks that fail, goes on, and compares what comes out. A verb that `resumes` does so with `--resume`.
fn check(folder: &Path, first: &[&str], resumes: bool) {
    if disk().is_none() {
        return;
    }
    let begin_time = Instant::now();
    let begin = [first, &["--out", "run", "-q"]].concat();
    let resume = [first[0], "--resume", "run", "-q"];
    let run = folder.join("run");
    let (undisturbed, calls) = on_disk(folder, &begin, &[]);
    assert_eq!(undisturbed.code, 0, "{undisturbed:?}");
    let expected = networks(&run);
    assert!(!expected.is_empty() && calls.len() > 10, "{calls:?}");
    let (mut failed, faults) = (0, chosen(calls.len()));
    for &(call, kind) in &faults {
        let (kind, is_fault) = KINDS[kind];
        let when = format!("{} {kind} at call {call}, {}", first[0], calls[call - 1]);
        fs::remove_dir_all(&run).unwrap();
        let call = call.to_string();
        let (result, _) = on_disk(folder, &begin, &[("FAULT_CALL", &call), ("FAULT_KIND", kind)]);
        whole(&files(&run), &when);
        let number = kind.split(':').next_back().unwrap();
        let stopped = failed_well(&result, number, &when);
        assert_eq!(stopped, is_fault, "{when}: {result:?}");
        if stopped {
            failed += 1;
            let next = if resumes && run.join("config.toml").exists() { &resume[..] } else { &begin[..] };
            // Where only flushing the last file's name failed, everything is there.
            if resumes || !run.join("report.html").exists() {
                let next = run_in(folder, next);
                assert_eq!(next.code, 0, "after {when}: {next:?}");
            }
        }
        let made = networks(&run);
        assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{when}");
        assert!(made == expected, "{when}: other bytes");
        whole(&files(&run), &format!("after {when}"));
    }
    eprintln!(
        "{}: {} calls; {} faults, {failed} stopped the run, all bytes equal afterwards, {:?}",
        first[0],
        calls.len(),
        faults.len(),
        begin_time.elapsed()
    );
}

/// Words of a command.
fn words(command: &str) -> Vec<&str> {
    command.split_whitespace().collect()
}

const TRAIN: &str =
    "train --depth 8 --limit 16 --test-limit 10 --batch 16 --epochs 2 --checkpoint-every 1 --seed 3";

#[test]
fn train_survives_a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    check(folder.path(), &words(TRAIN), true);
}

#[test]
fn qat_survives_a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    let qat =
        "qat --bits W4A4 --limit 16 --test-limit 10 --batch 16 --epochs 1 --calibration-images 16 --weights";
    check(folder.path(), &[&words(qat)[..], &[text(&network(folder.path()))]].concat(), true);
}

#[test]
fn ptq_survives_a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    let ptq = "ptq --bits W4A4 --policy product --limit 10 --calibration-images 16 --weights";
    check(folder.path(), &[&words(ptq)[..], &[text(&network(folder.path()))]].concat(), false);
}

#[test]
fn search_survives_a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (weights, set) = (network(folder.path()), data(folder.path(), &records(20), &records(20)));
    let search = "search --floor 5 --images 10 --evaluations 6 --calibration-images 16 --data";
    check(folder.path(), &[&words(search)[..], &[text(&set), "--weights", text(&weights)]].concat(), true);
}

#[test]
fn table_survives_a_failing_disk() {
    let folder = tempfile::tempdir().unwrap();
    let table = "table --bits W2A2 --methods sawb --limit 16 --test-limit 10 --calibration-images 16 --epochs 1 --weights";
    check(folder.path(), &[&words(table)[..], &[text(&network(folder.path()))]].concat(), true);
}

/// A file that is exported anew holds what it held or what it should hold, whatever fails.
#[test]
fn export_replaces_a_file_or_leaves_it() {
    if disk().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (folder, weights) = (folder.path(), network(folder.path()));
    let out = folder.join("run/out");
    fs::create_dir(folder.join("run")).unwrap();
    for format in ["onnx", "pt", "safetensors"] {
        let export = ["export", text(&weights), "--to", format, "--out", "run/out"];
        let (result, calls) = on_disk(folder, &export, &[]);
        assert_eq!(result.code, 0, "{result:?}");
        let new = fs::read(&out).unwrap();
        for (call, (kind, is_fault)) in (1..=calls.len()).flat_map(|call| KINDS.map(|kind| (call, kind))) {
            let when = format!("{format}, {kind} at call {call}, {}", calls[call - 1]);
            fs::write(&out, "old").unwrap();
            let call = call.to_string();
            let (result, _) = on_disk(folder, &export, &[("FAULT_CALL", &call), ("FAULT_KIND", kind)]);
            let renamed = calls[..call.parse::<usize>().unwrap() - 1].iter().any(|c| c.starts_with("rename"));
            let failed = failed_well(&result, kind.split(':').next_back().unwrap(), &when);
            assert_eq!(failed, is_fault, "{when}: {result:?}");
            let found = fs::read(&out).unwrap();
            assert!(found == if failed && !renamed { &b"old"[..] } else { &new }, "{when}: {result:?}");
            assert_eq!(fs::read_dir(folder.join("run")).unwrap().count(), 1, "{when}");
        }
    }
}

/// `EROFS` and `EACCES` everywhere: a folder in which nothing can be made.
#[test]
fn a_folder_that_cannot_be_written_to_is_named() {
    if disk().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let begin = [&words(TRAIN)[..], &["--out", "run"]].concat();
    for (kind, reason) in [("from:30", "Read-only file system"), ("from:13", "Permission denied")] {
        let environment = [("FAULT_CALL", "1"), ("FAULT_KIND", kind)];
        on_disk(folder.path(), &begin, &environment).0.refused(3, &["cannot create run: ", reason]);
        assert!(!folder.path().join("run").exists());
    }
    // The folder of a run that has begun.
    let result = run_in(folder.path(), &begin);
    assert_eq!(result.code, 0, "{result:?}");
    let before = files(&folder.path().join("run"));
    for (kind, reason) in [("from:30", "Read-only file system"), ("from:13", "Permission denied")] {
        let environment = [("FAULT_CALL", "1"), ("FAULT_KIND", kind)];
        let (result, _) = on_disk(folder.path(), &["train", "--resume", "run"], &environment);
        result.refused(3, &["cannot open run/.lock: ", reason]);
        assert_eq!(files(&folder.path().join("run")), before);
    }
}

#[test]
fn a_folder_that_vanishes_ends_the_run_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let long = TRAIN.replace("--epochs 2", "--epochs 4000");
    let mut child = start(folder.path(), &[&words(&long)[..], &["--out", "run"]].concat());
    wait_for(&mut child, &run.join("state.safetensors"));
    // Renamed, so that it vanishes at once and can be seen afterwards.
    let moved = folder.path().join("moved");
    fs::rename(&run, &moved).unwrap();
    let result: Result = child.wait_with_output().unwrap().into();
    result.refused(3, &["cannot write run/", "No such file or directory"]);
    assert!(!run.exists());
    whole(&files(&moved), "the folder was moved");
    // It is a run like any other where it is now.
    let short = ["train", "--resume", "moved", "--epochs", "4000"];
    start_until_written(folder.path(), &short, "moved/state.safetensors");
}

#[test]
fn a_clock_that_jumps_changes_no_result() {
    if disk().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = network(folder.path());
    let set = data(folder.path(), &records(20), &records(20));
    let commands = [
        words("train --depth 8 --limit 16 --test-limit 10 --epochs 1 --batch 16"),
        vec!["eval", "--weights", text(&weights), "--data", text(&set)],
    ];
    let numbers = |value: &Value, found: &mut Vec<(String, f64)>| {
        for (key, value) in value.as_object().unwrap() {
            found.extend(value.as_f64().map(|number| (key.clone(), number)));
        }
    };
    for arguments in &commands {
        let mut expected = None;
        for clock in ["", "jump", "still"] {
            fs::remove_dir_all(folder.path().join("runs")).ok();
            let environment = if clock.is_empty() { vec![] } else { vec![("FAULT_CLOCK", clock)] };
            let (result, _) = on_disk(folder.path(), &[&arguments[..], &["--json"]].concat(), &environment);
            let json = result.json();
            let mut found = Vec::new();
            numbers(&json, &mut found);
            assert!(found.iter().all(|(_, number)| *number >= 0.0), "{clock}: {json}");
            let top1: Vec<_> = found.into_iter().filter(|(key, _)| key.starts_with("top1")).collect();
            assert!(!top1.is_empty());
            assert_eq!(*expected.get_or_insert(top1.clone()), top1, "{clock}");
        }
    }
}
