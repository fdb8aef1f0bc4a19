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
