//! `ptq`: corrections by name, their ablation, scales of weights for each channel.

mod common;

use common::run_in;

const SMALL: [&str; 6] = ["--limit", "32", "--calibration-images", "32", "--iterations", "2"];

#[test]
fn an_ablation_measures_each_correction_alone_and_in_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let names = "equalize,balance,bias-analytic,batch-norm,adaround";
    let arguments = ["--json", "ptq", "--ablation", "--bits", "W4A4", "--correction", names];
    let result = run_in(dir.path(), &[&arguments[..], &SMALL].concat()).json();
    let rows = result["ablation"].as_array().unwrap();
    let listed: Vec<_> = rows.iter().map(|row| row["correction"].as_str().unwrap()).collect();
    assert_eq!(listed, ["equalize", "balance", "bias_analytic", "batch_norm", "adaround"]);
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
    let (none, mut before) = (result["top1_none"].as_f64().unwrap(), result["top1_none"].as_f64().unwrap());
    for row in rows {
        assert_eq!(number(row, "alone_adds"), number(row, "alone") - none);
        assert_eq!(number(row, "adds"), number(row, "in_sequence") - before);
        before = number(row, "in_sequence");
    }
}

#[test]
fn a_learned_network_is_saved_and_evaluates_to_what_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    for (granularity, threads) in [("per-tensor", "1"), ("per-tensor", "2"), ("per_channel", "2")] {
        let arguments = ["--json", "ptq", "--bits", "W2A2", "--correction", "balance,batch_norm,adaquant"];
        let more = ["--weight-granularity", granularity, "--threads", threads];
        let result = run_in(dir.path(), &[&arguments[..], &SMALL, &more].concat()).json();
        let model = result["model"].as_str().unwrap();
        let read = run_in(dir.path(), &["--json", "eval", "--weights", model, "--limit", "32"]).json();
        assert_eq!(read["top1"], result["top1_int"], "{granularity}, {threads} threads");
    }
}

#[test]
fn an_unknown_correction_is_a_usage_error_that_lists_the_names() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_in(dir.path(), &["ptq", "--correction", "batch_norm,magic"]);
    assert_eq!(run.code, 2);
    for name in ["magic", "equalize", "bias_analytic", "adaround", "brecq", "qdrop", "adaquant"] {
        assert!(run.stderr.contains(name), "{name}: {}", run.stderr);
    }
}
