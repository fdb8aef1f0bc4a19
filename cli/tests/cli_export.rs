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
    export(&["--to", "pt", "--out", "absent/x"]).refused(3, &["--out absent/x: there is no folder absent"]);
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

/// What was measured of the network as it was is no longer said of one with other pixels; what is assumed of them is said.
#[test]
fn what_is_said_of_a_network_holds_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, folder) = (network(dir.path()), data(dir.path(), &records(20), &records(20)));
    let in_folder = |line: &str| run_in(dir.path(), &line.split(' ').collect::<Vec<_>>());
    let start = format!("--weights {} --data {}", text(&weights), text(&folder));
    in_folder(&format!("ptq {start} --policy course --out run --json")).json();
    let metadata = |file: &str| {
        let checkpoint = models::formats::open::load_checkpoint_of(dir.path().join(file), None).unwrap();
        checkpoint.metadata
    };
    let export = |more: &str, out: &str| {
        let line = format!("export run/ResNet8_W4A4.latent.safetensors --to safetensors --out {out}{more}");
        assert_eq!(in_folder(&line).code, 0);
        metadata(out)
    };
    assert!(export("", "same").contains_key("test_accuracy"));
    let (mean, deviation) = ("0.5,0.5,0.5", "0.25,0.25,0.25");
    let other = export(&format!(" --normalization {mean}/{deviation}"), "other");
    assert!(!other.contains_key("test_accuracy"), "{other:?}");
    // The descriptions that belong to one form of file are not carried into another.
    assert_eq!(in_folder("export same --to onnx --out again").code, 0);
    let onnx = fs::read(dir.path().join("again")).unwrap();
    assert!(!onnx.windows(13).any(|bytes| bytes == b"fake_quantize"));

    assert_eq!(in_folder(&format!("export {} --to pt --out float.pt", text(&weights))).code, 0);
    let noted = in_folder("export float.pt --to safetensors --out float.safetensors");
    let says = "does not say how its pixels were normalised";
    assert!(noted.code == 0 && noted.stderr.contains(says), "{noted:?}");
    let told = in_folder("export float.pt --to safetensors --out float.safetensors --normalization course");
    assert!(told.code == 0 && !told.stderr.contains(says), "{told:?}");
}

/// A dropped layer is zeros in whatever type there is.
#[test]
fn a_dropped_layer_asks_for_no_new_operators() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, folder) = (network(dir.path()), data(dir.path(), &records(20), &records(20)));
    let start = format!("--weights {} --data {}", text(&weights), text(&folder));
    let ptq =
        format!("ptq {start} --bits W8A8 --policy course --layer-bits layer3.0.conv2=0 --out run --json");
    let model = run_in(dir.path(), &ptq.split(' ').collect::<Vec<_>>()).json()["model"].clone();
    let words = ["export", model.as_str().unwrap(), "--to", "onnx", "--out", "x.onnx", "--json"];
    assert_eq!(run_in(dir.path(), &words).json()["opset"], 13);
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
        // From the float weights of the integer-only network too it is the integers that are rounded.
        if policy == "product" {
            let latent = model.replace(".safetensors", ".latent.safetensors");
            let of = |model: &str, out: &str| {
                let words = ["export", model, "--to", "qlz", "--out", out, "--mantissa-bits", "6", "--json"];
                run_in(dir.path(), &words).json()["parts"].clone()
            };
            let (whole, rounded) = (of(&model, "a.qlz"), of(&latent, "b.qlz"));
            assert_eq!([&whole["norms"], &whole["codes"]], [&rounded["norms"], &rounded["codes"]]);
        }
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
