//! `--dry-run` of the long verbs: steps, time, memory and disk, and not a file.

mod common;

use std::fs;

use common::{data, network, records, run_in, text};

#[test]
fn every_long_verb_says_what_it_would_do_and_writes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, weights) = (data(dir.path(), &records(60), &records(40)), network(dir.path()));
    let before = fs::read_dir(dir.path()).unwrap().count();
    let (input, of_data) =
        (["--weights", text(&weights), "--data", text(&folder)], ["--data", text(&folder)]);
    let learned = ["ptq", "--correction", "adaround", "--iterations", "50", "--calibration-images", "32"];
    let table = ["table", "--bits", "W8A8,W4A4", "--methods", "sawb", "--epochs", "3"];
    for (arguments, input, steps) in [
        (&["train", "--depth", "8", "--epochs", "4", "--batch", "20"][..], &of_data[..], 2),
        (&["ptq"], &input, 4),
        (&learned, &input, 4),
        (&["qat", "--epochs", "2", "--batch", "20", "--out", "q"], &input, 8),
        // Batch norms re-estimated, and half of a table's cells: one that is trained, and one that is not.
        (&["qat", "--epochs", "2", "--batch", "20", "--reestimate-images", "40"], &input, 9),
        // Behind the cells: the answers of the one that the page shows, and the page.
        (&table, &input, 1 + 2 * (2 + 4) + 2),
        (&[&table[..], &["--shard", "1/2"]].concat(), &input, 1 + (2 + 4) + 2),
        (&["search", "--evaluations", "20", "--floor", "0"], &input, 9),
        // There are two widths: what is searched is what all are compared with.
        (&["search", "--searcher", "uniform", "--min-bits", "7"], &input, 8),
        // A shard measures its share, and what is common to all; without bits there is nothing to measure.
        (&["search", "--evaluations", "999", "--min-bits", "0", "--shard", "2/3"], &input, 2),
    ] {
        let result = run_in(dir.path(), &[arguments, input, &["--dry-run", "--json"]].concat());
        let json = result.json();
        for word in ["nothing is written now", "time    about", "memory", "disk    about"] {
            assert!(result.stderr.contains(word), "{word}: {result:?}");
        }
        let of = json["steps"].as_array().unwrap();
        assert_eq!(of.len(), steps, "{json:#}");
        let seconds: f64 = of.iter().map(|step| step["seconds"].as_f64().unwrap()).sum();
        assert!(seconds > 0.0 && (seconds - json["seconds"].as_f64().unwrap()).abs() < 1e-9);
        assert!(json["disk_bytes"].as_u64().unwrap() > 10_000 && json["basis"].is_string());
        assert!(!cfg!(target_os = "linux") || json["memory_bytes"].as_u64().unwrap() > 1 << 20);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), before, "{arguments:?} wrote something");
    }
    // There are no more images than there are.
    let many = ["ptq", "--calibration-images", "1000000", "--dry-run", "--json"];
    let steps = run_in(dir.path(), &[&many[..], &input].concat()).json()["steps"].to_string();
    assert!(steps.contains("calibrate on 60 images"), "{steps}");
    let search =
        ["search", "--evaluations", "20", "--min-bits", "0", "--shard", "2/3", "--dry-run", "--json"];
    let steps = run_in(dir.path(), &[&search[..], &input].concat()).json()["steps"].clone();
    assert!(steps[1]["what"].as_str().unwrap().starts_with("at most 7 candidates"), "{steps}");
    assert!(steps[1]["seconds"].as_f64().unwrap() > 0.3 * steps[0]["seconds"].as_f64().unwrap(), "{steps}");
    // More of the same takes longer.
    let seconds = |epochs: &str| {
        let arguments = ["train", "--depth", "8", "--batch", "20", "--dry-run", "--json", "--epochs", epochs];
        run_in(dir.path(), &[&arguments[..], &of_data].concat()).json()["seconds"].as_f64().unwrap()
    };
    assert!(seconds("1000") > 20.0 * seconds("10"));
    // A file of settings does not make a real run of it, and what is wrong is said at once.
    fs::write(dir.path().join("c.toml"), "epochs = 1\nbatch = 20\ndepth = 8\n").unwrap();
    let from_file = ["train", "--config", "c.toml", "--dry-run", "--json"];
    assert_eq!(run_in(dir.path(), &[&from_file[..], &of_data].concat()).json()["dry_run"], true);
    assert!(!dir.path().join("runs").exists());
    run_in(dir.path(), &["train", "--epochs", "0", "--dry-run"]).refused(2, &["--epochs"]);
    assert_eq!(run_in(dir.path(), &["train", "--resume", "x", "--dry-run"]).code, 2);
}

#[test]
fn a_dry_run_takes_the_time_that_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let folder = data(dir.path(), &records(200), &records(40));
    let run = ["train", "--depth", "8", "--epochs", "3", "--batch", "20", "--json", "--data", text(&folder)];
    let said = run_in(dir.path(), &[&run[..], &["--dry-run"]].concat()).json()["seconds"].as_f64().unwrap();
    let start = std::time::Instant::now();
    run_in(dir.path(), &run).json();
    let took = start.elapsed().as_secs_f64();
    // Other programs may take the processor meanwhile: this holds the order of magnitude.
    assert!(said < 10.0 * took && took < 10.0 * said + 5.0, "{said} s were said, {took} s it took");
}
