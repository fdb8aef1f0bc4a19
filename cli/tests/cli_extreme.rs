//! Networks and sizes at the edge of what is sensible: what runs elsewhere runs here, and what cannot is refused by a
//! message that says where and what to do.

mod common;

use std::path::{Path, PathBuf};

use common::{run_in, tensor, text};
use models::Checkpoint;

/// The bundled network, in which tensors are multiplied: name, channel (all of them, if none), factor.
fn network(folder: &Path, changes: &[(&str, Option<usize>, f32)]) -> PathBuf {
    let bundled = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/ResNet20.safetensors");
    let mut checkpoint = Checkpoint::read(bundled).unwrap();
    for (name, channel, factor) in changes {
        let values = tensor(&mut checkpoint, name);
        let row = values.len() / values.dims()[0];
        let range = channel.map_or(0..values.len(), |c| c * row..(c + 1) * row);
        values.data_mut()[range].iter_mut().for_each(|v| *v *= factor);
    }
    let path = folder.join("network.safetensors");
    checkpoint.write(&path).unwrap();
    path
}

/// `ptq` on few images.
fn ptq(folder: &Path, weights: &Path, more: &[&str]) -> common::Result {
    let few = ["--bits", "W8A8", "--limit", "100", "--calibration-images", "100", "--json"];
    run_in(folder, &[&["ptq", "--weights", text(weights)], &few[..], more].concat())
}

#[test]
fn a_classifier_with_small_weights_has_a_bias_of_more_than_32_bits_and_runs_as_simulated() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path(), &[("fc.weight", None, 1e-6)]);
    let json = ptq(dir.path(), &weights, &["--out", "a"]).json();
    assert_eq!(json["agreement"], 100.0, "{json}");
    assert_eq!(json["top1_int"], json["top1_simulated"], "{json}");
    assert_eq!(json["agreement_as_trained"], 100.0, "{json}");
    assert!(json["max_logit_difference"].as_f64().unwrap() < 1e-6, "{json}");
    // What is saved is read, and computes the same.
    let model = json["model"].as_str().unwrap();
    let eval = run_in(dir.path(), &["eval", "--weights", model, "--limit", "100", "--json"]).json();
    assert_eq!(eval["top1"], json["top1_int"], "{eval}");
    // The logits of an integer-only network have 32 bits.
    ptq(dir.path(), &weights, &["--policy", "product", "--out", "b"])
        .refused(1, &["layer `fc`", "32 bits", "policy `course`"]);
}

#[test]
fn activations_that_overflow_are_an_error_of_the_first_layer_they_enter() {
    let dir = tempfile::tempdir().unwrap();
    let changes = [("layer1.0.bn1.weight", None, 1e20), ("layer1.1.bn1.weight", None, 1e25)];
    let weights = network(dir.path(), &changes);
    let texts = ["layer `layer1.1.conv2` is not finite", "overflow before it"];
    run_in(dir.path(), &["eval", "--weights", text(&weights), "--limit", "10"]).refused(1, &texts);
    for rule in ["mse", "max", "moving_average"] {
        ptq(dir.path(), &weights, &["--activation-rule", rule, "--out", rule]).refused(1, &texts);
    }
}

#[test]
fn a_channel_a_million_times_as_large_as_its_neighbours_is_the_same_network() {
    let dir = tempfile::tempdir().unwrap();
    let [weights, even] = ["uneven", "even"].map(|name| {
        let folder = dir.path().join(name);
        std::fs::create_dir(&folder).unwrap();
        let changes = [
            ("layer1.1.conv1.weight", Some(5), 1e6),
            ("layer1.1.bn1.running_mean", Some(5), 1e6),
            ("layer1.1.bn1.running_var", Some(5), 1e12),
        ];
        network(&folder, if name == "uneven" { &changes } else { &[] })
    });
    for policy in ["course", "product"] {
        let of = |weights: &Path, out: &str| ptq(dir.path(), weights, &["--policy", policy, "--out", out]);
        let uneven = of(&weights, &format!("{policy}-uneven"));
        assert!(uneven.stderr.contains("layer1.1.conv1, channel 5: divided by"), "{uneven:?}");
        let (uneven, even) = (uneven.json(), of(&even, &format!("{policy}-even")).json());
        assert_eq!(uneven["agreement"], 100.0, "{uneven}");
        let top1 = |json: &serde_json::Value| json["top1_int"].as_f64().unwrap();
        assert!((top1(&uneven) - top1(&even)).abs() <= 1.0, "{uneven} {even}");
    }
}

#[test]
fn a_product_that_does_not_fit_into_memory_is_refused_before_anything_is_allocated() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |shape: &str, numbers: &str, texts: &[&str]| {
        let arguments = ["bench", "gemm", "--shape", shape, "--numbers", numbers];
        run_in(dir.path(), &arguments).refused(2, &[&["--shape", "GiB of memory"], texts].concat());
    };
    refused("10000000,10000000,10000000", "int8", &["needs 745058.1"]);
    refused("10000000,10000000,10000000", "f32", &["needs 1117587.1"]);
    // Beyond what 64 bits count.
    refused("18446744073709551615,18446744073709551615,4", "int8", &[]);
}
