//! Runs that are killed (SIGKILL) at random moments, inside saves too, and resumed until they end, have the bytes of a run
//! that nobody disturbed: `train`, `qat`, `search`, `table`.
//!
//! A few kills each in the usual test; `CRASH_KILLS=60 cargo test --release -p cli --test cli_crash -- --nocapture` makes
//! sixty of each.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{cli, data, network, records, run_in, text};
use engine::rng::{Purpose, Rng};

/// Kills of each verb.
fn kills() -> usize {
    std::env::var("CRASH_KILLS").map_or(3, |n| n.parse().expect("CRASH_KILLS is a number"))
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = cli(arguments);
    command.current_dir(folder).arg("-q").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Files of a run that must be the same, by name. Times, process numbers and pages that show them are not among them.
fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                walk(root, &path, found);
            } else if path.extension().is_some_and(|e| e == "safetensors")
                && !path.ends_with("state.safetensors")
            // holds the seconds of the last epoch
            {
                found.insert(name, fs::read(&path).unwrap());
            }
            assert!(!path.to_string_lossy().ends_with(".partial"), "{} was left", path.display());
        }
    }
    let mut found = BTreeMap::new();
    walk(run, run, &mut found);
    found
}

/// Kills and resumes the run in `folder/run` until it has been killed `kills` times or has ended; then lets it end.
/// Returns the kills.
fn torn(folder: &Path, run: &str, first: &[&str], span: Duration, kills: usize, rng: &mut Rng) -> usize {
    let resume = [first[0], "--resume", run];
    let begin = [first, &["--out", run]].concat();
    let next = || if folder.join(run).join("config.toml").exists() { &resume[..] } else { &begin[..] };
    for killed in 0..kills {
        let mut child = start(folder, next());
        // Mostly short lives, so that a run is killed many times before it ends.
        std::thread::sleep(span.mul_f32(rng.uniform() * rng.uniform()));
        let ended = child.try_wait().unwrap();
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        if let Some(status) = ended {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(status.success(), "after {killed} kills: {said}");
            return killed;
        }
    }
    let ended = run_in(folder, &[next(), &["-q"]].concat());
    assert_eq!(ended.code, 0, "after {kills} kills: {ended:?}");
    kills
}

/// The whole of a verb, again and again until it has been killed often enough.
fn check(folder: &Path, first: &[&str], seed: u64) {
    let begin = Instant::now();
    let whole = run_in(folder, &[first, &["--out", "whole", "-q"]].concat());
    assert_eq!(whole.code, 0, "{whole:?}");
    let (span, expected) = (begin.elapsed(), files(&folder.join("whole")));
    assert!(!expected.is_empty());
    let mut rng = Rng::at(seed, Purpose::Test, 0, 0);
    let (mut killed, mut runs) = (0, 0);
    while killed < kills() {
        let run = format!("torn{runs}");
        killed += torn(folder, &run, first, span, kills() - killed, &mut rng);
        runs += 1;
        let made = files(&folder.join(&run));
        assert_eq!(made.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{first:?}");
        for (name, bytes) in &expected {
            assert!(made[name] == *bytes, "{first:?}: {} differs after {killed} kills", name.display());
        }
    }
    eprintln!("{}: {killed} kills, {runs} runs, all bytes equal, {:?}", first[0], begin.elapsed());
}

#[test]
fn train_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let train =
        "train --depth 8 --limit 48 --test-limit 10 --batch 16 --epochs 6 --checkpoint-every 1 --seed 3";
    check(folder.path(), &train.split(' ').collect::<Vec<_>>(), 1);
}

#[test]
fn qat_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let weights = network(folder.path());
    let qat = "qat --bits W4A4 --weight-step lsq --activation-step lsq --method heuristic --limit 48 --test-limit 10 \
               --batch 16 --epochs 4 --checkpoint-every 1 --calibration-images 16 --teacher float --weights";
    check(folder.path(), &qat.split_whitespace().chain([text(&weights)]).collect::<Vec<_>>(), 2);
}

#[test]
fn search_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let weights = network(folder.path());
    let set = data(folder.path(), &records(20), &records(100));
    let search =
        ["search", "--weights", text(&weights), "--data", text(&set), "--floor", "5", "--images", "50"];
    check(folder.path(), &search, 3);
}

#[test]
fn table_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let weights = network(folder.path());
    let table = "table --bits W4A4,W2A2 --methods sawb --limit 48 --test-limit 10 --calibration-images 16 --epochs 1 --weights";
    check(folder.path(), &table.split(' ').chain([text(&weights)]).collect::<Vec<_>>(), 4);
}
