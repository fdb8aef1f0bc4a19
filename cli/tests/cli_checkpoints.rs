//! What people's checkpoint files hold beside, before and in place of the weights.

mod common;

use common::{Result, changed_network, cli, data, network, records, run_in, tensor, text};

fn eval(dir: &std::path::Path, arguments: &[&str]) -> Result {
    let set = dir.join("data");
    if !set.exists() {
        data(dir, &records(10), &records(20));
    }
    run_in(dir, &[&["eval", "--data", text(&set), "--json"], arguments].concat())
}

#[test]
fn a_prefix_before_all_names_is_stripped_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let plain = eval(dir.path(), &["--weights", text(&network(dir.path()))]).json();
    for prefix in ["module.", "_orig_mod.", "module._orig_mod.", "a.b.c."] {
        let path = changed_network(dir.path(), "prefixed.safetensors", |c| {
            c.tensors.iter_mut().for_each(|(name, _)| *name = format!("{prefix}{name}"));
        });
        let result = eval(dir.path(), &["--weights", text(&path)]);
        if prefix != "module." {
            assert!(
                result
                    .stderr
                    .contains(&format!("the prefix `{}` of all names", prefix.trim_start_matches("module."))),
                "{result:?}"
            );
        }
        assert_eq!(result.json()["top1"], plain["top1"]);
    }
}

#[test]
fn of_several_networks_the_flag_chooses_one() {
    let dir = tempfile::tempdir().unwrap();
    let plain = eval(dir.path(), &["--weights", text(&network(dir.path()))]).json();
    let path = changed_network(dir.path(), "two.safetensors", |c| {
        let average: Vec<_> = c.tensors.iter().map(|(n, t)| (format!("ema.{n}"), t.clone())).collect();
        c.tensors.iter_mut().for_each(|(name, _)| *name = format!("net.{name}"));
        tensor(c, "net.fc.weight").data_mut().iter_mut().for_each(|w| *w = -*w); // another network
        c.tensors.extend(average);
    });
    eval(dir.path(), &["--weights", text(&path)])
        .refused(3, &["several networks", "--weights-key: ema, net"]);
    let chosen = eval(dir.path(), &["--weights", text(&path), "--weights-key", "ema"]).json();
    assert_eq!(chosen["top1"], plain["top1"]);
    let other = eval(dir.path(), &["--weights", text(&path), "--weights-key", "net"]).json();
    assert_ne!(other["top1"], plain["top1"]);
    eval(dir.path(), &["--weights", text(&path), "--weights-key", "x"])
        .refused(3, &["nothing under --weights-key x"]);
}

#[test]
fn a_negative_variance_is_refused_by_every_verb_where_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = changed_network(dir.path(), "negative.safetensors", |c| {
        tensor(c, "layer1.0.bn1.running_var").data_mut()[3] = -0.5;
    });
    let texts = ["`layer1.0.bn1.running_var` holds -0.5 at index 3; a variance cannot be negative"];
    eval(dir.path(), &["--weights", text(&path)]).refused(3, &texts);
    for policy in ["course", "product"] {
        run_in(dir.path(), &["ptq", "--weights", text(&path), "--policy", policy]).refused(3, &texts);
    }
}

#[test]
fn whole_numbers_are_no_weights() {
    let dir = tempfile::tempdir().unwrap();
    // The same file with the type of one tensor changed: as many bytes, twice the numbers.
    let path = network(dir.path());
    let bytes = std::fs::read(&path).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text_of = String::from_utf8(bytes[8..header].to_vec()).unwrap();
    let [from, to] = ["F32", "I32"].map(|dtype| format!("\"fc.weight\":{{\"dtype\":\"{dtype}\""));
    assert!(text_of.contains(&from), "{text_of}");
    let changed = text_of.replace(&from, &to);
    std::fs::write(&path, [&bytes[..8], changed.as_bytes(), &bytes[header..]].concat()).unwrap();
    eval(dir.path(), &["--weights", text(&path)])
        .refused(3, &["tensor `fc.weight` holds whole numbers", "scale"]);
}

#[test]
fn pointers_and_pages_in_place_of_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 1096123\n";
    for name in ["w.safetensors", "w.pt", "w"] {
        let path = file(name, pointer);
        eval(dir.path(), &["--weights", text(&path)]).refused(3, &[name, "is a Git LFS pointer"]);
    }
    let page = file("w.pth", b"<!DOCTYPE html>\n<html><head>");
    eval(dir.path(), &["--weights", text(&page)]).refused(3, &["w.pth: is a web page"]);
    let set = data(dir.path(), pointer, &records(2));
    run_in(dir.path(), &["ptq", "--data", text(&set)])
        .refused(3, &["data_batch_1.bin: is a Git LFS pointer"]);
    let picture = file("p.png", b"<html>");
    run_in(dir.path(), &["infer", text(&picture)]).refused(3, &["p.png: is a web page"]);
}

#[test]
fn test_images_need_no_training_images() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let set = data(dir.path(), &records(10), &records(20));
    let whole = eval(dir.path(), &["--weights", text(&weights)]).json();
    std::fs::remove_file(set.join("data_batch_1.bin")).unwrap();
    assert_eq!(eval(dir.path(), &["--weights", text(&weights)]).json()["top1"], whole["top1"]);
    let train = eval(dir.path(), &["--weights", text(&weights), "--split", "train"]);
    train.refused(3, &["data_batch_1.bin is missing"]);
    run_in(dir.path(), &["eval", "--data", "absent"])
        .refused(3, &["absent: no data set here: the folder does not exist"]);
}

/// A folder that may not be entered is told from one that is not there; the administrator may enter everything.
#[cfg(unix)]
#[test]
fn permission_denied_is_said() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let set = data(dir.path(), &records(10), &records(20));
    std::fs::set_permissions(&set, std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::read_dir(&set).is_ok() {
        eprintln!("SKIPPED: permissions do not bind this user");
        return;
    }
    let result = run_in(dir.path(), &["eval", "--data", text(&set)]);
    std::fs::set_permissions(&set, std::fs::Permissions::from_mode(0o755)).unwrap();
    result.refused(3, &["Permission denied"]);
}

#[test]
fn a_picture_with_dos_line_ends_is_the_same_picture() {
    let dir = tempfile::tempdir().unwrap();
    let samples: Vec<u8> = (0..3072u32).map(|i| (i * 7 % 256) as u8).collect();
    let write = |name: &str, header: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, [header, &samples].concat()).unwrap();
        path
    };
    let of = |path: &std::path::Path| {
        let mut json = run_in(dir.path(), &["infer", "--json", text(path)]).json();
        json["images"][0]["top"].take()
    };
    let plain = of(&write("plain.ppm", b"P6\n32 32\n255\n"));
    assert!(!plain.is_null());
    assert_eq!(of(&write("crlf.ppm", b"P6\r\n32 32\r\n255\r\n")), plain);
    let shifted = write("shifted.ppm", b"P6\n32 32\n255\nx");
    run_in(dir.path(), &["infer", text(&shifted)]).refused(3, &["1 byte more than its header says"]);
}

#[test]
fn a_state_of_a_run_is_no_network_and_says_where_the_networks_are() {
    let dir = tempfile::tempdir().unwrap();
    let set = data(dir.path(), &records(20), &records(20));
    let train =
        ["train", "--depth", "8", "--data", text(&set), "--epochs", "1", "--batch", "10", "--out", "run"];
    assert_eq!(run_in(dir.path(), &train).code, 0);
    eval(dir.path(), &["--weights", "run/state.safetensors"])
        .refused(3, &["run/state.safetensors: is the state of a run in training", "--resume"]);
    assert!(eval(dir.path(), &["--weights", "run/weights.safetensors"]).json()["top1"].is_number());
}

/// Else every accuracy of these tests would be that of the labels.
#[test]
fn the_network_of_the_tests_gives_several_classes() {
    let dir = tempfile::tempdir().unwrap();
    let answers = dir.path().join("answers.csv");
    eval(dir.path(), &["--weights", text(&network(dir.path())), "--predictions", text(&answers)]).json();
    let answers = std::fs::read_to_string(answers).unwrap();
    let classes: std::collections::BTreeSet<&str> =
        answers.lines().skip(1).map(|line| line.split(',').next_back().unwrap()).collect();
    assert!(classes.len() >= 5, "{answers}");
}

/// The documents have their accuracy on all 10,000 test images; of the slice's 1,000 it may differ by a point or two.
#[test]
fn the_bundled_networks_are_as_good_as_the_documents_say() {
    let assets = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/");
    let documents = std::fs::read_to_string(format!("{assets}README.md")).unwrap();
    let mut seen = 0;
    for folder in ["qat", "mixed"] {
        for entry in std::fs::read_dir(format!("{assets}{folder}")).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
            let line = documents.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let line = line.unwrap_or_else(|| panic!("{name} has no line in models/assets/README.md"));
            let figure = line.split("**").nth(1).and_then(|figure| figure.strip_suffix('%'));
            let figure: f64 = figure.expect("an accuracy in bold").parse().unwrap();
            let json = cli(&["eval", "--json", "--weights", text(&path)]).output().unwrap();
            let top1 = Result::from(json).json()["top1"].as_f64().unwrap();
            assert!((top1 - figure).abs() < 2.5, "{name}: {top1}% of the slice, {figure}% of all");
            seen += 1;
        }
    }
    assert!(seen >= 8);
}
