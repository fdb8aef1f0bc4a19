//! `ptq`: corrections by name, their ablation, scales of weights for each channel.

mod common;

use common::run_in;

const SMALL: [&str; 6] = ["--limit", "32", "--calibration-images", "32", "--iterations", "2"];

#[test]
fn an_ablation_measures_each_correction_alone_and_in_sequence() {
    let dir = tempfile::tempdir().unwrap();
    let names = "equalize,balance,bias-analytic,adaround,batch-norm";
    let arguments = ["--json", "ptq", "--ablation", "--bits", "W4A4", "--out", "run", "--correction", names];
    let arguments = [&arguments[..], &SMALL].concat();
    let result = run_in(dir.path(), &arguments).json();
    let rows = result["ablation"].as_array().unwrap();
    let listed: Vec<_> = rows.iter().map(|row| row["correction"].as_str().unwrap()).collect();
    assert_eq!(listed, ["equalize", "balance", "bias_analytic", "adaround", "batch_norm"]);
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
    let (none, mut before) = (result["top1_none"].as_f64().unwrap(), result["top1_none"].as_f64().unwrap());
    for row in rows {
        assert_eq!(number(row, "alone_adds"), number(row, "alone") - none);
        assert_eq!(number(row, "adds"), number(row, "in_sequence") - before);
        before = number(row, "in_sequence");
    }
    // The run's folder has it too: as numbers, and on a page of its own and of others.
    let file = |name: &str| std::fs::read_to_string(dir.path().join("run").join(name)).unwrap();
    let saved: serde_json::Value = serde_json::from_str(&file("ablation.json")).unwrap();
    for (key, value) in saved.as_object().unwrap() {
        assert_eq!(*value, result[key], "{key}");
    }
    assert_eq!((&saved["ablation"], &saved["bits"]), (&result["ablation"], &"W4A4".into()));
    let results: serde_json::Value = serde_json::from_str(&file("results.json")).unwrap();
    assert_eq!(results["networks"][0]["top1"], result["top1_float"]);
    assert_eq!(result["report"], "run/report.html");
    assert_eq!(run_in(dir.path(), &["report", "run", "run", "--out", "both.html"]).code, 0);
    for page in [file("report.html"), std::fs::read_to_string(dir.path().join("both.html")).unwrap()] {
        assert!(page.contains("What each correction adds"), "{page}");
        assert!(listed.iter().all(|name| page.contains(&format!("<td>{name}</td>"))), "{page}");
    }
    run_in(dir.path(), &arguments).refused(3, &["run: holds a run of `ptq` already", "--out"]);
}

#[test]
fn a_run_without_an_ablation_shows_none() {
    let dir = tempfile::tempdir().unwrap();
    // What a run that failed before its end has left.
    std::fs::create_dir(dir.path().join("run")).unwrap();
    std::fs::write(dir.path().join("run/ablation.json"), "{").unwrap();
    run_in(dir.path(), &[&["ptq", "--out", "run", "--json"][..], &SMALL[..4]].concat()).json();
    let page = std::fs::read_to_string(dir.path().join("run/report.html")).unwrap();
    assert!(!page.contains("What each correction adds"), "{page}");
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
fn too_many_images_without_data_are_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    for source in ["noise", "distilled", "mixed"] {
        let run = run_in(dir.path(), &["ptq", "--calibration", source, "--calibration-images", "10001"]);
        run.refused(2, &["--calibration-images 10001", "at most 10000"]);
    }
}

#[test]
fn updates_without_a_correction_that_learns_are_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let run = run_in(dir.path(), &["ptq", "--iterations", "5"]);
    run.refused(2, &["--iterations", "--correction batch_norm", "learns"]);
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

#[test]
fn single_layers_take_other_bits() {
    let dir = tempfile::tempdir().unwrap();
    let whole = ["--bits", "W2A16", "--policy", "product", "--residual-bits", "16"];
    let ptq = |bits: &str| {
        run_in(dir.path(), &[&["--json", "ptq"], &whole[..], &["--layer-bits", bits], &SMALL[..4]].concat())
    };
    let (wide, narrow) = (ptq("conv1=W5A8,fc=4").json(), ptq("*=2,conv1=W5A8,fc=4,layer3.2.conv2=1").json());
    let model = narrow["model"].as_str().unwrap();
    assert!(model.ends_with("ResNet20_mixed.safetensors"), "{model}");
    let bytes = |json: &serde_json::Value| json["packed_bytes"].as_u64().unwrap();
    assert_eq!(bytes(&wide) - bytes(&narrow), 36_864 / 8, "one bit of each weight of layer3.2.conv2");
    let read = run_in(dir.path(), &["--json", "eval", "--weights", model, "--limit", "32"]).json();
    assert_eq!(read["top1"], narrow["top1_int"]);

    ptq("layer3.2.conv3=1").refused(2, &["layer3.2.conv3", "layer3.2.conv2"]);
    ptq("fc=9").refused(2, &["--layer-bits fc=9"]);
    ptq("fc=0").refused(2, &["fc=0"]);
}
