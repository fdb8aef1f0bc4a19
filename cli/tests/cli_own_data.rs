//! A user's own pictures, in folders or in CIFAR-100's records: trained on, quantized, searched, looked at and classified like
//! CIFAR-10, under their own names; and what is refused about them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{data, network, records, run_in, text};
use models::Checkpoint;

const CLASSES: [&str; 3] = ["blue tit", "magpie", "robin"];

/// A picture of 40 x 36 pixels, mostly of one colour.
fn picture(path: &Path, colour: [u8; 3], number: u8) {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 40, 36);
    encoder.set_color(png::ColorType::Rgb);
    let noise = |i: usize| ((i * 37 + usize::from(number) * 101) % 23) as u8;
    let samples: Vec<u8> = (0..40 * 36 * 3).map(|i| colour[i % 3].saturating_add(noise(i))).collect();
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Fifteen pictures of each class, which their colours tell apart.
fn birds(dir: &Path) -> PathBuf {
    let folder = dir.join("birds");
    for (name, colour) in CLASSES.iter().zip([[20, 40, 200], [100, 100, 100], [200, 60, 20]]) {
        fs::create_dir_all(folder.join(name)).unwrap();
        (0..15).for_each(|i| picture(&folder.join(name).join(format!("{i}.png")), colour, i));
    }
    folder
}

/// Records of CIFAR-100 of as many classes as there are, with the names beside them.
fn hundred(dir: &Path) -> PathBuf {
    let folder = dir.join("hundred");
    fs::create_dir_all(&folder).unwrap();
    let record = |i: usize| [vec![(i % 20) as u8, (i % 100) as u8], vec![(i * 7 % 251) as u8; 3072]].concat();
    let all: Vec<u8> = (0..100).flat_map(record).collect();
    fs::write(folder.join("train.bin"), &all).unwrap();
    fs::write(folder.join("test.bin"), &all).unwrap();
    let names: String = (0..100).map(|i| format!("thing_{i}\n")).collect();
    fs::write(folder.join("fine_label_names.txt"), names).unwrap();
    folder
}

/// A small network that was trained on `data`, and what `train` said.
fn trained(dir: &Path, data: &Path, epochs: &str) -> (PathBuf, serde_json::Value) {
    let base = [
        "train", "--depth", "8", "--batch", "6", "--warmup", "0", "--lr", "0.02", "--ema", "0.5", "--out",
        "float",
    ];
    let more = ["--augment", "false", "--json", "--epochs", epochs, "--data", text(data)];
    let json = run_in(dir, &[&base[..], &more].concat()).json();
    (dir.join(json["weights"].as_str().unwrap()), json)
}

#[test]
fn a_folder_of_class_folders_goes_all_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let folder = birds(dir.path());
    let verify = run_in(dir.path(), &["data", "verify", text(&folder)]);
    let line = "valid: 36 training and 9 test pictures, divided by seed 1: 20% of each class for testing";
    assert!(verify.code == 0 && verify.stdout.contains(line), "{verify:?}");

    let (weights, json) = trained(dir.path(), &folder, "8");
    assert!(json["top1_last"].as_f64().unwrap() > 60.0, "colours are easy to tell apart: {json}");
    let checkpoint = Checkpoint::read(&weights).unwrap();
    assert_eq!(checkpoint.metadata["classes"], r#"["blue tit","magpie","robin"]"#);
    let normalization = checkpoint.normalization().unwrap().unwrap();
    assert!((normalization.mean[0] - 0.46).abs() < 0.02, "that of the pictures: {normalization}");
    let page = fs::read_to_string(dir.path().join("float/report.html")).unwrap();
    assert!(page.contains("images of blue tit are taken for magpie"), "the confusion matrix has their names");
    let resumed = run_in(dir.path(), &["train", "--resume", "float", "--json"]).json();
    assert_eq!(resumed["top1_last"], json["top1_last"]);

    let input = ["--weights", text(&weights), "--data", text(&folder), "--json"];
    let run = |arguments: &[&str]| run_in(dir.path(), &[arguments, &input].concat());
    let eval = run(&["eval", "-v"]);
    assert!(eval.stderr.contains("  robin       "), "{eval:?}");
    assert_eq!((&eval.json()["top1"], &eval.json()["images"]), (&json["top1_last"], &9.into()));
    assert_eq!(run(&["eval", "--split", "train"]).json()["images"], 36);
    run(&["eval", "--split", "val"]).refused(3, &["has no validation images", "split.json"]);
    let inspect = run(&["inspect", "--images", "4", "--out", "inspect"]).json();
    assert_eq!(inspect["layers"].as_array().unwrap().last().unwrap()["shape"], serde_json::json!([3, 64]));

    for calibration in ["images", "distilled"] {
        let flags = [
            "ptq",
            "--bits",
            "W8A8",
            "--policy",
            "product",
            "--calibration",
            calibration,
            "--calibration-images",
            "16",
        ];
        let ptq = run(&[&flags[..], &["--out", calibration]].concat()).json();
        assert!(ptq["top1_int"].is_number() && ptq["images"] == 9);
        let model = ptq["model"].as_str().unwrap();
        let robin = folder.join("robin/3.png");
        let infer = run_in(dir.path(), &["infer", "--model", model, text(&robin), "--json"]).json();
        let top = infer["images"][0]["top"].as_array().unwrap();
        let mut names: Vec<&str> = top.iter().map(|guess| guess["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, CLASSES);
        let again = ["eval", "--weights", model, "--data", text(&folder), "--json"];
        assert_eq!(run_in(dir.path(), &again).json()["top1"], ptq["top1_int"]);
    }
    let qat = run(&["qat", "--epochs", "1", "--batch", "6", "--out", "qat", "--teacher", "float"]).json();
    assert!(qat["top1_int"].is_number());
    let table = ["table", "--bits", "W8A8", "--methods", "sawb", "--epochs", "1", "--out", "table"];
    assert_eq!(run(&table).json()["cells"].as_array().unwrap().len(), 2);
    let search = [
        "search",
        "--evaluations",
        "3",
        "--max-bits",
        "4",
        "--min-bits",
        "3",
        "--floor",
        "0",
        "--out",
        "search",
    ];
    assert!(run(&search).json().is_object());
    let qat = dir.path().join(qat["model"].as_str().unwrap());
    for (file, format) in [("q.onnx", "onnx"), ("q.pt", "pt")] {
        let export = ["export", text(&qat), "--to", format, "--out", file];
        assert_eq!(run_in(dir.path(), &export).code, 0);
    }
    let onnx = fs::read(dir.path().join("q.onnx")).unwrap();
    assert!(String::from_utf8_lossy(&onnx).contains(r#"["blue tit","magpie","robin"]"#));

    // A run goes on only with the pictures it began with.
    fs::rename(folder.join("robin/3.png"), folder.join("magpie/99.png")).unwrap();
    run_in(dir.path(), &["train", "--resume", "float"]).refused(3, &["birds (data) is not the file"]);
}

#[test]
fn a_hundred_classes_in_records() {
    let dir = tempfile::tempdir().unwrap();
    let folder = hundred(dir.path());
    let (weights, _) = trained(dir.path(), &folder, "1");
    let input = ["--weights", text(&weights), "--data", text(&folder), "--json"];
    let run = |arguments: &[&str]| run_in(dir.path(), &[arguments, &input].concat());
    assert_eq!(run(&["eval"]).json()["images"], 100);
    let ptq = run(&["ptq", "--policy", "product", "--bits", "W8A8", "--out", "ptq"]).json();
    let page = fs::read_to_string(dir.path().join(ptq["report"].as_str().unwrap())).unwrap();
    assert!(page.contains("thing_99"), "the report has the names");
    let (model, batch) = (ptq["model"].as_str().unwrap(), folder.join("test.bin"));
    let infer =
        run_in(dir.path(), &["infer", "--model", model, text(&batch), "--index", "42", "--json"]).json();
    assert_eq!(infer["images"][0]["label"], 42);
    assert!(infer["images"][0]["top"][0]["name"].as_str().unwrap().starts_with("thing_"));
    assert_eq!(
        run_in(dir.path(), &["data", "verify", text(&folder), "--json"]).json()["classes"][99],
        "thing_99"
    );
    let mut bad = fs::read(&batch).unwrap();
    bad[3074 + 1] = 100;
    fs::write(&batch, bad).unwrap();
    run(&["eval"]).refused(3, &["test.bin: record 1 has label 100", "0..=99", "CIFAR-100"]);
}

#[test]
fn a_network_and_data_of_other_classes_do_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, ten) = (birds(dir.path()), data(dir.path(), &records(40), &records(20)));
    let weights = network(dir.path());
    let texts =
        ["network.safetensors: this network tells 10 (airplane,", "birds has 3 (blue tit, magpie, robin)"];
    for verb in ["eval", "ptq", "qat", "table", "search"] {
        let arguments = [verb, "--weights", text(&weights), "--data", text(&folder)];
        run_in(dir.path(), &arguments).refused(3, &[&texts[..], &["cli train --data"]].concat());
    }
    run_in(dir.path(), &["train", "--init", text(&weights), "--data", text(&folder)]).refused(3, &texts);
    let (own, _) = trained(dir.path(), &folder, "1");
    for flag in ["--init", "--teacher"] {
        let arguments = ["qat", "--weights", text(&own), "--data", text(&folder), flag, text(&weights)];
        let refused = run_in(dir.path(), &[&arguments[..], &["--out", "q"]].concat());
        refused.refused(3, &texts);
        fs::remove_dir_all(dir.path().join("q")).ok();
    }
    assert!(!dir.path().join("runs").exists(), "nothing is left behind");
    let other = ["eval", "--weights", text(&own), "--data", text(&ten)];
    run_in(dir.path(), &other).refused(3, &["tells 3 (blue tit", "has 10 (airplane,"]);
    // As many classes under other names: a note, as the names of somebody else's file are not known.
    let renamed = dir.path().join("renamed");
    fs::rename(&folder, &renamed).unwrap();
    fs::rename(renamed.join("robin"), renamed.join("wren")).unwrap();
    let result = run_in(dir.path(), &["eval", "--weights", text(&own), "--data", text(&renamed)]);
    assert!(result.code == 0 && result.stderr.contains("they are compared by their numbers"), "{result:?}");
}

#[test]
fn folders_that_are_no_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    let refused = |texts: &[&str]| {
        for arguments in [vec!["train"], vec!["eval"], vec!["ptq", "--json"]] {
            let folder = at("birds");
            run_in(dir.path(), &[&arguments[..], &["--data", text(&folder)]].concat()).refused(3, texts);
        }
    };
    fs::create_dir(at("birds")).unwrap();
    refused(&["birds", "no data set here: expected CIFAR-10"]);
    fs::create_dir(at("birds/robin")).unwrap();
    refused(&["one class only, `robin`"]);
    fs::create_dir(at("birds/wren")).unwrap();
    refused(&["robin: holds no pictures"]);
    birds(dir.path());
    fs::remove_dir(at("birds/wren")).unwrap();
    fs::write(at("birds/magpie/7.png"), &fs::read(at("birds/magpie/7.png")).unwrap()[..60]).unwrap();
    refused(&["7.png", "not a complete PNG picture"]);
    fs::write(at("birds/magpie/7.png"), "no picture").unwrap();
    refused(&["7.png: is not a PNG, JPEG or PPM picture"]);
    fs::rename(at("birds/robin/1.png"), at("birds/magpie/7.png")).unwrap();
    fs::rename(at("birds/robin/2.png"), at("birds/2.png")).unwrap();
    refused(&["2.png: is a picture outside the class folders"]);
    assert!(!at("runs").exists(), "nothing is left behind");
}

#[test]
fn a_data_set_becomes_pictures_and_is_the_same_again() {
    let dir = tempfile::tempdir().unwrap();
    let ten = data(dir.path(), &records(40), &records(20));
    let arguments = ["data", "pictures", "--data", text(&ten), "--out", "pictures"];
    let written = run_in(dir.path(), &[&arguments[..], &["--json"]].concat()).json();
    assert_eq!((&written["train"]["images"], &written["test"]["images"]), (&40.into(), &20.into()));
    run_in(dir.path(), &arguments).refused(3, &["pictures: is there already"]);
    let weights = network(dir.path());
    let eval = |data: &str| {
        run_in(dir.path(), &["eval", "--weights", text(&weights), "--data", data, "--json"]).json()
    };
    let (of_records, of_pictures) = (eval(text(&ten)), eval("pictures"));
    assert_eq!((&of_records["top1"], &of_records["images"]), (&of_pictures["top1"], &of_pictures["images"]));
    let few = ["data", "pictures", "--data", text(&ten), "--out", "few", "--per-class", "1", "--json"];
    assert_eq!(run_in(dir.path(), &few).json()["train"]["images"], 10);
}

/// What cannot be folders of pictures is refused before anything is written, and nothing of the user's is in the way.
#[test]
fn pictures_of_a_data_set_are_all_there_or_none_is() {
    let dir = tempfile::tempdir().unwrap();
    let pictures = |data: &Path, out: &str| {
        run_in(dir.path(), &["data", "pictures", "--data", text(data), "--out", out, "--json"])
    };
    // A folder of the user's that is called like something half written, validation pictures, and no `.partial` left.
    let own = dir.path().join("new.partial");
    fs::rename(birds(dir.path()), &own).unwrap();
    fs::write(own.join("split.json"), r#"{"val": 0.2}"#).unwrap();
    let written = pictures(&own, "new").json();
    let count = |part: &str| written[part]["images"].as_u64().unwrap();
    assert_eq!((count("train"), count("test"), count("val")), (27, 9, 9));
    assert!(own.join("robin/0.png").exists());
    let again = pictures(&dir.path().join("new"), "sub/again").json();
    assert_eq!(again["val"]["images"], 9);
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&dir.path().join("sub")), ["again"]);

    let hundred = hundred(dir.path());
    let named = |name: &str| {
        let all = (1..100).map(|i| format!("thing_{i}\n")).collect::<String>();
        fs::write(hundred.join("fine_label_names.txt"), format!("{name}\n{all}")).unwrap();
    };
    for bad in ["..", "../thing", "a/b", ".hidden"] {
        named(bad);
        pictures(&hundred, "no").refused(3, &[&format!("class `{bad}` cannot be the name of a folder")]);
    }
    named("thing_0");
    let test = fs::read(hundred.join("test.bin")).unwrap();
    fs::write(hundred.join("test.bin"), &test[..99 * 3074]).unwrap();
    pictures(&hundred, "no").refused(3, &["class `thing_99` has no image in test"]);
    assert_eq!(names(dir.path()), ["hundred", "new", "new.partial", "sub"]);
}
