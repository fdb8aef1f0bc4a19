//! What users keep in a run's folder stays there, and records of a run that were damaged end in one line.

mod common;

use std::fs;

use common::run_in;

#[test]
fn only_what_a_run_left_unfinished_is_removed() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("own/sub")).unwrap();
    let own = [".film.partial", "sub/.thesis.partial", ".notes.old.partial", "a.1.partial"];
    let left = [".weights.safetensors.123.partial", "sub/.results.json.7.partial"];
    let path = |name: &str| dir.path().join("own").join(name);
    own.iter().chain(&left).for_each(|name| fs::write(path(name), "x").unwrap());
    let calibrate = ["calibrate", "--sets", "A", "--samples", "10", "--bits", "2", "--out", "own", "--json"];
    run_in(dir.path(), &calibrate).json();
    assert!(own.iter().all(|name| path(name).exists()) && left.iter().all(|name| !path(name).exists()));
}

#[test]
fn damaged_records_end_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let table = dir.path().join("table");
    fs::create_dir(&table).unwrap();
    fs::write(table.join("config.toml"), "verb = \"table\"\nseed = 1\n").unwrap();
    fs::write(table.join("table.json"), "[1]").unwrap();
    let report = run_in(dir.path(), &["report", "table"]);
    assert!([0, 3].contains(&report.code) && !report.stderr.contains("panicked"), "{report:?}");

    let train = "train --depth 8 --limit 16 --test-limit 5 --batch 16 --epochs 1 --out run --json";
    run_in(dir.path(), &train.split(' ').collect::<Vec<_>>()).json();
    let inputs = dir.path().join("run/inputs.json");
    let text = fs::read_to_string(&inputs).unwrap();
    let digits = text.split("\"sha256\": \"").nth(1).unwrap().split('"').next().unwrap();
    fs::write(&inputs, text.replacen(digits, "aéééééééé", 1)).unwrap();
    run_in(dir.path(), &["train", "--resume", "run"])
        .refused(3, &["is not the file that the run began with"]);
}
