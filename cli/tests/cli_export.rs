//! `export`: what it says, and what it refuses.

mod common;

use std::fs;

use common::{data, network, records, run_in, text};

#[test]
fn every_format_is_written_and_described() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    for (format, beginning) in [("onnx", &b"\x08\x07"[..]), ("pt", b"PK\x03\x04"), ("safetensors", b"")] {
        let json =
            run_in(dir.path(), &["export", text(&weights), "--to", format, "--out", "out", "--json"]).json();
        let bytes = fs::read(dir.path().join("out")).unwrap();
        assert!(bytes.starts_with(beginning), "{format}");
        assert_eq!((&json["bytes"], &json["depth"]), (&bytes.len().into(), &8.into()));
        assert_eq!(json["opset"].is_null(), format != "onnx");
        assert_eq!(json["names"].is_null(), format == "onnx");
        // What this program reads, it reads with the same result.
        if format != "onnx" {
            let folder = data(dir.path(), &records(10), &records(20));
            let classes = |weights: &str| {
                let words =
                    ["eval", "--weights", weights, "--data", text(&folder), "--predictions", "classes"];
                assert_eq!(run_in(dir.path(), &words).code, 0);
                fs::read_to_string(dir.path().join("classes")).unwrap()
            };
            assert_eq!(classes("out"), classes(text(&weights)));
            assert_eq!(classes("out").lines().count(), 20);
        }
    }
}

#[test]
fn what_has_no_such_form_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let export = |more: &[&str]| run_in(dir.path(), &[&["export", text(&weights)], more].concat());
    export(&["--to", "onnx", "--out", "x", "--names", "shortcut"])
        .refused(2, &["--names is for --to pt and safetensors"]);
    export(&["--to", "pt", "--out", "x", "--opset", "21"]).refused(2, &["--opset is for --to onnx"]);
    export(&["--to", "pt", "--out", "absent/x"]).refused(3, &["cannot write absent/x"]);
    let folder = data(dir.path(), &records(20), &records(20));
    let ptq = [
        "ptq",
        "--weights",
        text(&weights),
        "--data",
        text(&folder),
        "--policy",
        "product",
        "--out",
        "run",
        "--json",
    ];
    let model = run_in(dir.path(), &ptq).json()["model"].as_str().unwrap().to_owned();
    let words = ["export", &model, "--to", "onnx", "--out", "x"];
    run_in(dir.path(), &words).refused(3, &["integer-only network", "latent.safetensors"]);
    assert!(!dir.path().join("x").exists());
}

/// Of each policy: the coded file is smaller, says where its bytes are, and classifies every image as the model file does.
#[test]
fn coded_files_classify_as_the_model_files_do() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, folder) = (network(dir.path()), data(dir.path(), &records(20), &records(20)));
    for policy in ["course", "product"] {
        let ptq = [
            "ptq",
            "--weights",
            text(&weights),
            "--data",
            text(&folder),
            "--policy",
            policy,
            "--out",
            policy,
            "--json",
        ];
        let model = run_in(dir.path(), &ptq).json()["model"].as_str().unwrap().to_owned();
        let coded = format!("{policy}.qlz");
        let export = |more: &[&str]| {
            run_in(
                dir.path(),
                &[&["export", &model, "--to", "qlz", "--out", &coded, "--json"], more].concat(),
            )
            .json()
        };
        let classes = |weights: &str| {
            let words =
                ["eval", "--weights", weights, "--data", text(&folder), "--predictions", "classes", "--json"];
            let top1 = run_in(dir.path(), &words).json()["top1"].clone();
            (top1, fs::read_to_string(dir.path().join("classes")).unwrap())
        };
        let json = export(&[]);
        let bytes = fs::metadata(dir.path().join(&coded)).unwrap().len();
        let part = |name: &str| json["parts"][name].as_u64().unwrap();
        assert_eq!(part("header") + part("scales") + part("norms") + part("codes"), bytes);
        assert_eq!(json["bytes"], bytes);
        assert!(part("codes") < json["packed_weights_bytes"].as_u64().unwrap());
        assert!(bytes < json["bytes_before"].as_u64().unwrap());
        assert_eq!(classes(&coded), classes(&model), "{policy}");
        let few_images: &[&str] = if policy == "course" { &["--images", "4"] } else { &[] };
        let inspect = ["inspect", "--weights", &coded, "--data", text(&folder), "--json"];
        run_in(dir.path(), &[&inspect, few_images].concat()).json();
        // Rounded, it is another network, and smaller.
        let rounded = export(&["--mantissa-bits", "8"]);
        assert!(rounded["bytes"].as_u64().unwrap() < bytes);
        classes(&coded);
    }
    let batch = folder.join("test_batch.bin");
    let infer = |model: &str| {
        run_in(dir.path(), &["infer", "--model", model, text(&batch), "--repeat", "1", "--json"])
    };
    assert_eq!(infer("product.qlz").json()["images"].as_array().map(Vec::len), Some(10));
    infer("course.qlz").refused(3, &["course.qlz", "integer-only"]);
    // A quantized network is no float one, in whatever file it is.
    let again = ["ptq", "--weights", "course.qlz", "--data", text(&folder), "--out", "again", "--json"];
    run_in(dir.path(), &again).refused(3, &["course.qlz", "is a quantized network (W4A4)"]);
    let float = ["export", text(&weights), "--to", "qlz", "--out", "x"];
    run_in(dir.path(), &float).refused(3, &["holds a float network"]);
    let refused = ["export", text(&weights), "--to", "onnx", "--out", "x", "--mantissa-bits", "7"];
    run_in(dir.path(), &refused).refused(2, &["--mantissa-bits is for --to qlz"]);
    assert!(!dir.path().join("x").exists());
}
