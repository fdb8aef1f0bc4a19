//! `qat` with images held out: epochs are compared on them, the network at the end is measured on the test images.
//! What it may start and learn from.

mod common;

use common::{data, network, records, run_in, text};
use models::data::augment::Normalization;
use models::{Checkpoint, Network, Shortcut};

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

#[test]
fn a_start_and_a_teacher_see_the_same_pixels_and_a_start_is_of_the_same_kind() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let set = data(dir.path(), &records(32), &records(10));
    let other = |name: &str, depth, shortcut, normalization| {
        let network = Network::fresh(depth, shortcut, normalization, 5).unwrap();
        let path = dir.path().join(name);
        network.checkpoint(&network.params).write(&path).unwrap();
        path
    };
    let pixels = other("pixels.safetensors", 8, Shortcut::B, Normalization::TRUE);
    let deep = other("deep.safetensors", 14, Shortcut::B, Normalization::COURSE);
    let plain = other("plain.safetensors", 8, Shortcut::A, Normalization::COURSE);
    let qat = |more: &[&str]| {
        let small = ["qat", "--weights", text(&weights), "--data", text(&set), "--calibration-images", "16"];
        run_in(dir.path(), &[&small[..], &["--batch", "16", "--epochs", "1"], more].concat())
    };
    for flag in ["--init", "--teacher"] {
        let refused = qat(&[flag, text(&pixels), "--out", "p"]);
        refused.refused(
            3,
            &[flag, "pixels.safetensors: its pixels are normalised by", "networks of one run must agree"],
        );
        std::fs::remove_dir_all(dir.path().join("p")).ok();
    }
    for (file, what) in [(&deep, "is a ResNet-14 option B"), (&plain, "is a ResNet-8 option A")] {
        qat(&["--init", text(file), "--out", "k"])
            .refused(3, &["--init", what, "network.safetensors a ResNet-8 option B"]);
        assert!(!dir.path().join("k").exists(), "nothing is measured before the start is known");
    }
    let ptq = ["ptq", "--weights", text(&weights), "--data", text(&set), "--calibration-images", "16"];
    let product = ["--policy", "product", "--out", "i", "--json"];
    let integers =
        run_in(dir.path(), &[&ptq[..], &product].concat()).json()["model"].as_str().unwrap().to_owned();
    qat(&["--init", &integers, "--out", "k"]).refused(3, &["--init", "no float weights", ".latent"]);
    // A teacher may be of another kind; and a run's folder stands for the network that it ended with.
    assert_eq!(qat(&["--teacher", text(&deep), "--bits", "W8A8", "--out", "wide"]).code, 0);
    qat(&["--init", "wide", "--bits", "W4A4", "--out", "narrow", "--json"]).json();
    let inputs = std::fs::read_to_string(dir.path().join("narrow/inputs.json")).unwrap();
    assert!(inputs.contains("wide/last/ResNet8_W8A8.latent.safetensors"), "{inputs}");
    qat(&["--init", "data", "--out", "x"])
        .refused(3, &["--init data: holds neither last/*.latent.safetensors"]);
    assert!(!dir.path().join("x").exists());
    let both = ["qat", "--frozen-epochs", "1", "--reestimate-images", "256"];
    run_in(dir.path(), &both).refused(2, &["--frozen-epochs 1", "--reestimate-images 256 would replace"]);
    for (flag, value) in [("--teacher-share", "1.5"), ("--temperature", "0"), ("--reestimate-images", "15")] {
        qat(&[flag, value, "--out", "y"]).refused(2, &[flag, value, "expected"]);
    }
    assert!(!dir.path().join("y").exists());
}
