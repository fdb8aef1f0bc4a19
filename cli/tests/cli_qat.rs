//! `qat` with images held out: epochs are compared on them, the network at the end is measured on the test images.

mod common;

use common::run_in;
use models::Checkpoint;

const SMALL: [&str; 13] = [
    "qat",
    "--limit",
    "80",
    "--test-limit",
    "30",
    "--calibration-images",
    "32",
    "--epochs",
    "2",
    "--batch",
    "32",
    "--out",
    "run",
];

/// Whether `percent` are of so many images.
fn is_of(percent: &serde_json::Value, images: f64) -> bool {
    let right = percent.as_f64().unwrap() * images / 100.0;
    (right - right.round()).abs() < 1e-9
}

#[test]
fn epochs_are_compared_on_the_images_held_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = |flags: &[&str]| run_in(dir.path(), &[&SMALL[..], flags].concat());
    let result = run(&["--hold-out", "16", "--json"]);
    let json = result.json();
    assert_eq!(json["held_out"]["images"], 16);
    assert!(is_of(&json["held_out"]["top1_last"], 16.0) && is_of(&json["held_out"]["top1_best"], 16.0));
    // The result is the last epoch's network, the best one stands beside it.
    assert_eq!((&json["images"], &json["top1_last"]), (&30.into(), &json["top1_int"]));
    assert!(is_of(&json["top1_best"], 30.0) && is_of(&json["top1_int"], 30.0), "{json}");
    for line in [
        "model   run/last/ResNet20_W4A4.safetensors",
        "best    run/ResNet20_W4A4.safetensors",
        "after epoch 2 (the last), ",
    ] {
        assert!(result.stderr.contains(line), "{line}: {}", result.stderr);
    }
    let results = std::fs::read_to_string(dir.path().join("run/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    let row = &results["networks"][2];
    assert_eq!((&row["name"], &row["top1"]), (&"QAT W4A4".into(), &json["top1_int"]));
    assert_eq!(row["model"], "last/ResNet20_W4A4.latent.safetensors");
    // 64 images are left, in two steps.
    let metrics = std::fs::read_to_string(dir.path().join("run/metrics.jsonl")).unwrap();
    let last: serde_json::Value = serde_json::from_str(metrics.lines().last().unwrap()).unwrap();
    assert_eq!((&last["step"], &last["test_top1"]), (&4.into(), &json["held_out"]["top1_last"]));
    // What the files say of themselves.
    let best = Checkpoint::read(dir.path().join(json["model_best"].as_str().unwrap())).unwrap();
    assert_eq!(best.metadata["held_out_images"], "16");
    assert!(!best.metadata.contains_key("test_accuracy"));
    let last = Checkpoint::read(dir.path().join(json["model"].as_str().unwrap())).unwrap();
    assert_eq!(last.metadata["test_accuracy"], format!("{:.2}", json["top1_int"].as_f64().unwrap()));
    assert_eq!((&json["model_last"], last.metadata["epoch"].as_str()), (&json["model"], "2"));
    let again = run_in(dir.path(), &["qat", "--resume", "run", "--json"]).json();
    assert_eq!(again["held_out"], json["held_out"]);

    run_in(dir.path(), &["qat", "--limit", "80", "--hold-out", "80"])
        .refused(2, &["--hold-out 80", "only 80 training images"]);
    std::fs::create_dir(dir.path().join("recipes")).unwrap();
    let recipe = "verb = \"qat\"\nbits = \"W4A4\"\nhold_out = 16\n";
    std::fs::write(dir.path().join("recipes/qat_w4a4_sawb.toml"), recipe).unwrap();
    let table = ["table", "--limit", "64", "--test-limit", "10", "--bits", "W4A4", "--methods", "sawb"];
    run_in(dir.path(), &[&table[..], &["--modes", "qat", "--recipes", "recipes"]].concat())
        .refused(2, &["qat_w4a4_sawb.toml", "leave hold_out away"]);
}
