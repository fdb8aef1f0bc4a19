//! Training that is ended by force, or by Ctrl-C, and continued, gives the weights of the uninterrupted run, bit for
//! bit.

mod common;

use std::fs;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use common::{run_in, start, text};
use models::Checkpoint;

/// A tiny run: ResNet-8, 48 images, 3 steps an epoch.
const TINY: [&str; 15] = [
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
    "14",
    "--checkpoint-every",
    "1",
    "--seed",
    "3",
];

/// Waits until the run has saved `step` steps.
fn wait_for_step(child: &mut Child, run: &Path, step: usize) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(120) {
        let saved = Checkpoint::read(run.join("state.safetensors")).ok();
        if saved.and_then(|state| state.get::<usize>("step").unwrap()) >= Some(step) {
            return;
        }
        assert_eq!(child.try_wait().unwrap(), None, "the run ended before step {step}");
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("step {step} does not come");
}

/// The metrics without the times.
fn metrics(run: &Path) -> Vec<[serde_json::Value; 5]> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        ["epoch", "step", "loss", "train_top1", "test_top1"].map(|key| value[key].clone())
    };
    text.lines().map(line).collect()
}

#[test]
fn killed_twice_and_resumed_gives_the_same_bits() {
    let dir = tempfile::tempdir().unwrap();
    let [whole, torn] = ["whole", "torn"].map(|name| dir.path().join(name));
    let json =
        run_in(dir.path(), &[&TINY[..], &["--out", "whole", "--json", "--threads", "2"]].concat()).json();
    assert_eq!((&json["steps"], &json["epochs"]), (&42.into(), &14.into()));
    assert!(json["top1_best"].as_f64() >= json["top1_last"].as_f64());

    let mut child = start(dir.path(), &[&TINY[..], &["--out", "torn"]].concat());
    wait_for_step(&mut child, &torn, 4); // in the middle of the second epoch, or later
    child.kill().unwrap(); // SIGKILL
    child.wait().unwrap();
    assert!(!torn.join("weights.safetensors").exists(), "the run was over before it was killed");
    let mut child = start(dir.path(), &["train", "--resume", "torn", "--threads", "1"]);
    wait_for_step(&mut child, &torn, 14);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!torn.join("weights.safetensors").exists(), "the run was over before it was killed again");
    let resumed = run_in(dir.path(), &["train", "--resume", "torn", "--json"]).json();

    let bytes = |run: &Path| fs::read(run.join("weights.safetensors")).unwrap();
    assert!(bytes(&whole) == bytes(&torn), "the weights differ");
    assert_eq!(metrics(&whole), metrics(&torn));
    assert_eq!(metrics(&torn).len(), 14);
    assert_eq!((&resumed["top1_last"], &resumed["loss"]), (&json["top1_last"], &json["loss"]));

    // What it made says where it comes from, and loads.
    let weights = Checkpoint::read(torn.join("weights.safetensors")).unwrap();
    assert_eq!((weights.get("epoch").unwrap(), weights.get("seed").unwrap()), (Some(14), Some(3)));
    let command = weights.metadata["command"].as_str();
    assert_eq!(
        command,
        "cli train --seed 3 --batch 16 --checkpoint-every 1 --depth 8 --epochs 14 --limit 48 --test-limit 10"
    );
    assert!(weights.metadata.contains_key("test_accuracy"));
    let path = torn.join("weights.safetensors");
    run_in(dir.path(), &["eval", "--weights", text(&path), "--limit", "20", "--json"]).json();
    assert!(fs::read_to_string(torn.join("curve.svg")).unwrap().contains("<polyline"));
    // A finished run that is resumed is finished.
    run_in(dir.path(), &["train", "--resume", "torn", "--json"]).json();
    assert!(bytes(&whole) == bytes(&torn));
    let left: Vec<_> = fs::read_dir(&torn).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let mut child = start(dir.path(), &[&TINY[..], &["--out", "run"]].concat());
    wait_for_step(&mut child, &run, 4);
    let id = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let result: common::Result = child.wait_with_output().unwrap().into();
    assert_eq!(result.code, 130, "{result:?}");
    let text = "interrupted: everything is saved; continue with `cli train --resume run`";
    assert!(result.stderr.contains(text), "{result:?}");
    let state = Checkpoint::read(run.join("state.safetensors")).unwrap();
    let step: usize = state.get("step").unwrap().unwrap();
    assert!((4..42).contains(&step) && !run.join("weights.safetensors").exists());
    assert_eq!(run_in(dir.path(), &["train", "--resume", "run", "--json"]).json()["steps"], 42);
}

#[test]
fn resuming_from_another_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let tiny =
        ["train", "--depth", "8", "--limit", "16", "--test-limit", "5", "--batch", "16", "--epochs", "1"];
    run_in(dir.path(), &[&tiny[..], &["--out", "run", "--json"]].concat()).json();
    let resume = |more: &[&str]| run_in(dir.path(), &[&["train", "--resume", "run"], more].concat());
    resume(&["--lr", "0.2"]).refused(3, &["cannot resume: `lr` is 0.2 here and 0.1 in run/config.toml"]);
    resume(&["--epochs", "9"]).refused(3, &["`epochs` is 9 here and 1"]);
    resume(&["--seed", "2"]).refused(3, &["`seed` is 2 here and 1"]);
    fs::write(dir.path().join("other.toml"), "weight_decay = 0.1\n").unwrap();
    resume(&["--config", "other.toml"]).refused(3, &["`weight_decay` is 0.1 here and 0.0005"]);
    resume(&["--lr", "0.1", "--json"]).json();
    // The data may lie elsewhere, and are refused if they are others.
    let slice = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/cifar10-slice");
    resume(&["--data", slice, "--json"]).json();
    common::data(dir.path(), &common::records(32), &common::records(32));
    resume(&["--data", "data"]).refused(3, &["is not the file that the run began with"]);

    run_in(dir.path(), &["train", "--resume", "absent"]).refused(3, &["absent"]);
    fs::write(dir.path().join("run/config.toml"), "verb = \"calibrate\"\n").unwrap();
    resume(&[]).refused(3, &["settings of `calibrate`, not of `train`"]);
}

#[test]
fn a_run_that_starts_from_weights() {
    let dir = tempfile::tempdir().unwrap();
    let tiny = ["train", "--limit", "16", "--test-limit", "5", "--batch", "16", "--epochs", "1"];
    let run = |more: &[&str]| run_in(dir.path(), &[&tiny[..], more].concat());
    run(&["--depth", "8", "--out", "first", "--json"]).json();
    let init = ["--init", "first/weights.safetensors"];
    // At a learning rate of 0 nothing but the running statistics moves.
    let still = |more: &[&str]| run(&[&init[..], &["--lr", "0", "--json"], more].concat()).json();
    let blanked = still(&["--cutout", "8", "--out", "second"]);
    assert_ne!(blanked["loss"], still(&["--out", "third"])["loss"]);
    let weight = |run: &str| {
        let weights = Checkpoint::read(dir.path().join(run).join("weights.safetensors")).unwrap();
        weights.tensors.into_iter().find(|(name, _)| name == "layer3.0.conv2.weight").unwrap().1
    };
    assert_eq!(weight("first"), weight("second"));
    // Once there is a state, the file is not needed.
    fs::remove_file(dir.path().join("first/weights.safetensors")).unwrap();
    assert_eq!(
        run_in(dir.path(), &["train", "--resume", "second", "--json"]).json()["top1_last"],
        blanked["top1_last"]
    );

    run(&["--init", "x", "--depth", "8"]).refused(2, &["--init", "--depth"]);
    run(&["--init", "absent.safetensors"]).refused(3, &["absent.safetensors"]);
    run(&["--cutout", "33"]).refused(2, &["--cutout 33", "32 x 32"]);
    run(&["--warmup", "1.5"]).refused(2, &["--warmup 1.5: --lr is not reached in --epochs 1"]);
}

#[test]
fn a_damaged_state() {
    let dir = tempfile::tempdir().unwrap();
    let tiny =
        ["train", "--depth", "8", "--limit", "16", "--test-limit", "5", "--batch", "16", "--epochs", "1"];
    run_in(dir.path(), &[&tiny[..], &["--out", "run", "--json"]].concat()).json();
    let state = dir.path().join("run/state.safetensors");
    let bytes = fs::read(&state).unwrap();
    fs::write(&state, &bytes[..bytes.len() - 9]).unwrap();
    run_in(dir.path(), &["train", "--resume", "run"]).refused(3, &["state.safetensors", "not a complete"]);
    fs::write(&state, bytes).unwrap();
    // The state of a network of another depth does not fit.
    let config = dir.path().join("run/config.toml");
    let text = fs::read_to_string(&config).unwrap().replace("depth = 8", "depth = 14");
    fs::write(&config, text).unwrap();
    let result = run_in(dir.path(), &["train", "--resume", "run"]);
    assert!(result.code != 0 && !result.stderr.contains("panicked"), "{result:?}");
}

#[test]
fn a_run_that_diverges() {
    let dir = tempfile::tempdir().unwrap();
    let tiny =
        "train --depth 8 --test-limit 5 --batch 16 --epochs 4 --lr 1000 --weight-decay 1000 --warmup 0";
    // In its first epoch, and, where that ends after four steps, on its first test images.
    for (limit, what) in [("256", "loss is"), ("64", "not finite")] {
        let arguments = format!("{tiny} --limit {limit} --out run-{limit}");
        let result = run_in(dir.path(), &arguments.split(' ').collect::<Vec<_>>());
        result.refused(1, &[what, "lower the learning rate"]);
    }
}

/// Statistics of images as they are would halve the first layer's variances, since training saw black borders, and cost
/// five points here.
#[test]
fn batch_norms_are_reestimated_on_images_such_as_training_saw() {
    let dir = tempfile::tempdir().unwrap();
    let still = "qat --bits W8A8 --epochs 1 --lr 1e-9 --ema 0 --limit 512 --test-limit 300 --reestimate-images 512 --json";
    let arguments: Vec<&str> = still.split(' ').collect();
    let result = run_in(dir.path(), &arguments).json();
    let (before, after) = (result["top1_ptq"].as_f64().unwrap(), result["top1_last"].as_f64().unwrap());
    assert!(after > before - 2.0, "{before} became {after}");
}

/// Learned bits keep to their size, are what the saved network has, and are flags of the run that goes on with them.
#[test]
fn bits_are_learned_and_trained_on_with() {
    let dir = tempfile::tempdir().unwrap();
    let qat = |flags: &str| {
        let common =
            "--epochs 2 --limit 640 --test-limit 200 --calibration-images 64 --json --method symmetric";
        let arguments = format!("qat --bits W8A8 {common} {flags}");
        let arguments: Vec<&str> = arguments.split(' ').collect();
        run_in(dir.path(), &arguments)
    };
    let learned =
        qat("--policy product --learn-bits 150 --lr 0.1 --size-price 2.2 --layer-bits fc=W4A8 --out learned")
            .json();
    assert_eq!(learned["epoch_best"], 2); // the last: the one before was larger
    let bits = learned["learned_bits"].as_str().unwrap();
    assert!(bits.starts_with("fc=W4A8,conv1=") && !bits.contains("=0"), "{bits}");
    let first = dir.path().join("learned/ResNet20_mixed.latent.safetensors");
    let on = format!("--policy product --layer-bits {bits} --out on --init {}", first.display());
    let on = qat(&on).json();
    assert_eq!(on["packed_bytes"], learned["packed_bytes"]);
    let norms_and_biases = 4 * (2 * 2 * 784 + 10);
    let weights = on["packed_bytes"].as_u64().unwrap() - norms_and_biases;
    assert!((100 << 10..=150 << 10).contains(&weights), "{weights}");

    qat("--learn-bits 60 --weight-step lsq")
        .refused(2, &["--learn-bits: the steps of weights must come from the rule"]);
    let all = "layer1.*=1,layer2.*=1,layer3.*=1,fc=1";
    qat(&format!("--learn-bits 60 --layer-bits {all}"))
        .refused(2, &["--learn-bits: no layer has more than one bit"]);
    qat("--learn-bits 2").refused(2, &["--learn-bits 2: with one bit in every layer the weights have"]);
    qat("--learn-bits 0").refused(2, &["--learn-bits 0: expected a number of KiB above 0"]);
    qat("--learn-bits 60 --size-price 0").refused(2, &["--size-price 0: expected a number above 0"]);
    qat("--size-price 1").refused(2, &["required"]);
}
