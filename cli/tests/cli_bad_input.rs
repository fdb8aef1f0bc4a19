//! Bad input: each kind has a message of one line that says what, where and what to do, and its exit code (2 usage,
//! 3 bad input); nothing panics, and nothing is left behind.

mod common;

use std::fs;

use common::{changed_network, cli, data, network, records, run_in, tensor, text};
use engine::Tensor;

#[test]
fn data_files() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let good = records(10);
    let full = 10_000 * 3073;
    let mut label = records(10);
    label[3 * 3073] = 10;
    for (test, texts) in [
        (&good[..good.len() - 1], ["test_batch.bin", "truncated?"]),
        (&[], ["test_batch.bin", "is empty"]),
        (&vec![0; full + 3073], ["test_batch.bin", "too many"]),
        (&label, ["test_batch.bin", "record 3 has label 10"]),
    ] {
        let folder = data(dir.path(), &good, test);
        for arguments in [
            vec!["eval", "--weights", text(&weights), "--data", text(&folder)],
            vec!["eval", "--json", "--weights", text(&weights), "--data", text(&folder)],
            vec!["data", "verify", text(&folder)],
            vec!["train", "--data", text(&folder)],
        ] {
            run_in(dir.path(), &arguments).refused(3, &texts);
        }
    }
    let folder = data(dir.path(), &good, &good);
    fs::remove_file(folder.join("test_batch.bin")).unwrap();
    run_in(dir.path(), &["data", "verify", text(&folder)]).refused(3, &["test_batch.bin is missing"]);
    let absent = dir.path().join("absent");
    run_in(dir.path(), &["data", "verify", text(&absent)]).refused(3, &["absent", "no data set here"]);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_file_that_differs_from_its_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let source = data(dir.path(), &records(20), &records(10));
    let slice = dir.path().join("slice");
    let arguments = [
        "data",
        "slice",
        "--data",
        text(&source),
        "--out",
        text(&slice),
        "--train",
        "1",
        "--test",
        "1",
        "--json",
    ];
    assert_eq!(run_in(dir.path(), &arguments).json()["train"]["images"], 10);
    assert_eq!(
        run_in(dir.path(), &["data", "verify", text(&slice), "--json"]).json()["files"][0]["listed"],
        true
    );
    run_in(dir.path(), &arguments).refused(3, &["slice: is not empty"]);
    let onto_itself = ["data", "slice", "--data", text(&source), "--out", text(&source)];
    run_in(dir.path(), &onto_itself).refused(3, &["is not empty; choose another folder"]);
    let path = slice.join("data_batch_1.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] ^= 1;
    fs::write(&path, bytes).unwrap();
    run_in(dir.path(), &["data", "verify", text(&slice)]).refused(3, &["data_batch_1.bin", "damaged"]);
}

#[test]
fn checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let missing = changed_network(dir.path(), "missing.safetensors", |c| {
        c.tensors.retain(|(name, _)| name != "layer2.0.bn2.weight");
    });
    let extra = changed_network(dir.path(), "extra.safetensors", |c| {
        c.tensors.push(("layer9.weight".into(), Tensor::zeros([2])));
    });
    let shape = changed_network(dir.path(), "shape.safetensors", |c| {
        *tensor(c, "fc.weight") = Tensor::zeros([10, 32])
    });
    let nan =
        changed_network(dir.path(), "nan.safetensors", |c| tensor(c, "fc.bias").data_mut()[3] = f32::NAN);
    let cut = dir.path().join("cut.safetensors");
    let whole = fs::read(network(dir.path())).unwrap();
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let empty = dir.path().join("empty.safetensors");
    fs::write(&empty, "").unwrap();
    let other = dir.path().join("notes.txt");
    fs::write(&other, "hello").unwrap();
    let absent = dir.path().join("absent.safetensors");
    for (path, texts) in [
        (&missing, ["missing.safetensors", "`layer2.0.bn2.weight` [32] is missing"]),
        (&extra, ["extra.safetensors", "`layer9.weight` [2] does not belong"]),
        (&shape, ["shape.safetensors", "`fc.weight` has shape [10, 32], the network expects [10, 64]"]),
        (&nan, ["nan.safetensors", "`fc.bias` holds NaN at index 3"]),
        (&cut, ["cut.safetensors", "not a complete safetensors file"]),
        (&empty, ["empty.safetensors", "not a complete safetensors file"]),
        (&other, ["notes.txt", "is neither a safetensors file nor one PyTorch saved"]),
        (&absent, ["absent.safetensors", "cannot open"]),
    ] {
        for verb in ["eval", "inspect"] {
            run_in(dir.path(), &[verb, "--weights", text(path)]).refused(3, &texts);
        }
    }
    // A quantized network is no float one, and what is read is not written over.
    let quantized = "ptq --weights network.safetensors --limit 16 --calibration-images 16 --out p";
    assert_eq!(run_in(dir.path(), &quantized.split(' ').collect::<Vec<_>>()).code, 0);
    let model = "p/ResNet8_W4A4.safetensors";
    for arguments in
        [&["ptq", "--weights", model][..], &["qat", "--teacher", model], &["train", "--init", model]]
    {
        run_in(dir.path(), arguments).refused(3, &[model, "is a quantized network (W4A4)", "qat --init"]);
    }
    for arguments in [
        &["eval", "--weights", model, "--predictions", model][..],
        &["export", model, "--to", "pt", "--out", model],
    ] {
        run_in(dir.path(), arguments).refused(2, &[model, "which this command reads"]);
    }
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn a_pickle_that_would_execute_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let (path, marker) = (dir.path().join("evil.pth"), dir.path().join("executed"));
    fs::write(&path, format!("cos\nsystem\n(S'touch {}'\ntR.", marker.display())).unwrap();
    let texts = ["evil.pth", "refuses to execute `os.system`", "save a plain state_dict"];
    run_in(dir.path(), &["eval", "--weights", text(&path)]).refused(3, &texts);
    assert!(!marker.exists());
}

#[test]
fn widths_methods_and_layers() {
    let dir = tempfile::tempdir().unwrap();
    let most = u64::MAX.to_string();
    run_in(dir.path(), &["train", "--epochs", &most]).refused(2, &[&most, "too large"]);
    for (arguments, texts) in [
        (&["qat", "--temperature", "3"][..], ["--temperature 3", "no --teacher"]),
        (&["qat", "--step-domain", "log"], ["--step-domain log", "no steps are learned"]),
        (&["qat", "--freezing", "2"], ["--freezing 2", "from 0 to 1"]),
        (&["qat", "--freezing", "0.01", "--weight-norm"], ["--freezing", "no code to be fixed to"]),
        (&["qat", "--freezing", "0.01", "--learn-bits", "30"], ["--learn-bits", "no code to be fixed to"]),
        (&["search", "--search-floor", "80"], ["--search-floor", "batch_norm learns"]),
        (&["bench", "train", "--bits", "W2A2"], ["--bits", "bench qat"]),
        (&["ptq", "--correction", "none,batch_norm"], ["none,batch_norm", "stands alone"]),
    ] {
        run_in(dir.path(), arguments).refused(2, &texts);
    }
    run_in(dir.path(), &["train", "--smoothing", "1"]).refused(2, &["--smoothing 1", "from 0 to 0.99"]);
    let weights = network(dir.path());
    for verb in [vec!["calibrate"], vec!["inspect", "--weights", text(&weights)]] {
        let with = |more: &[&str]| run_in(dir.path(), &[&verb[..], more].concat());
        for bits in ["0", "17", "four", "-1"] {
            with(&[&format!("--bits={bits}")]).refused(2, &["--bits", bits]);
        }
    }
    let sawb = ["unknown method `best`", "known: symmetric, heuristic, sawb, sawb_refit"];
    run_in(dir.path(), &["calibrate", "--methods", "sawb,best"]).refused(2, &sawb);
    run_in(dir.path(), &["inspect", "--weights", text(&weights), "--method", "best"]).refused(2, &sawb);
    for verb in ["ptq", "qat"] {
        let with = |flag: &str| run_in(dir.path(), &[verb, "--weights", text(&weights), flag]);
        for bits in ["W0A4", "W4A0", "W17A4", "W4A17", "4"] {
            with(&format!("--bits={bits}")).refused(2, &["--bits", bits]);
        }
        with("--layer-bits=fc=0").refused(2, &["--layer-bits", "layer `fc` cannot have 0 bits"]);
        with("--layer-bits=layer9.*=2").refused(2, &["--layer-bits", "layer `layer9.*` does not exist"]);
        with("--method=best").refused(2, &sawb);
        with("--policy=best").refused(2, &["unknown policy `best`", "course, product"]);
    }
    let unknown = ["inspect", "--weights", text(&weights), "--layers", "fc,layer4.0.conv1"];
    run_in(dir.path(), &unknown).refused(2, &["unknown layer `layer4.0.conv1`", "layer1.0.conv1"]);
    run_in(dir.path(), &["calibrate", "--sets", "C"]).refused(2, &["distribution `C` is unknown", "laplace"]);
    let mean = ["eval", "--weights", text(&weights), "--normalization", "1,2/3"];
    run_in(dir.path(), &mean).refused(2, &["normalisation `1,2/3`"]);
    run_in(dir.path(), &["train", "--depth", "21"]).refused(2, &["depth 21", "6n + 2"]);
    run_in(dir.path(), &["train", "--shortcut", "C"]).refused(2, &["shortcut `C`", "A or B"]);
    run_in(dir.path(), &["train", "--epochs", "0"]).refused(2, &["--epochs", "at least 1"]);
    run_in(dir.path(), &["train", "--lr=-1"]).refused(2, &["--lr -1"]);
    run_in(dir.path(), &["fly"]).refused(2, &["fly"]);
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn instruction_sets_that_do_not_exist() {
    for verb in [vec!["data", "verify"], vec!["calibrate"]] {
        let output = cli(&verb).env("QUANT_ISA", "mmx").output().unwrap();
        common::Result::from(output).refused(2, &["QUANT_ISA", "mmx", "scalar"]);
    }
}

#[test]
fn samples() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    let header = |shape: &str| {
        let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape},), }}");
        text.push_str(&" ".repeat(118 - text.len() - 1));
        text.push('\n');
        [&b"\x93NUMPY\x01\x00\x76\x00"[..], text.as_bytes()].concat()
    };
    let floats = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let cases = [
        (b"text".to_vec(), "not an .npy file"),
        ([header("3"), floats(&[1.0, 2.0])].concat(), "x.npy"),
        ([header("2"), floats(&[1.0, f32::NAN])].concat(), "NaN at index 1"),
        (header("0"), "x.npy"),
    ];
    for (bytes, message) in cases {
        fs::write(&path, bytes).unwrap();
        run_in(dir.path(), &["calibrate", "--input", text(&path)]).refused(3, &["x.npy", message]);
    }
    assert!(!dir.path().join("runs").exists());
}

#[test]
fn folders_that_cannot_be_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let out = file.join("run"); // a folder below a file: impossible for every user
    for arguments in [
        vec!["calibrate", "--samples", "100", "--bits", "4"],
        vec!["inspect", "--weights", text(&weights), "--images", "0"],
        vec!["train", "--depth", "8"],
    ] {
        let arguments = [&arguments[..], &["--out", text(&out)]].concat();
        run_in(dir.path(), &arguments).refused(3, &["cannot create", "file/run"]);
    }
    let source = data(dir.path(), &records(10), &records(10));
    let slice =
        ["data", "slice", "--data", text(&source), "--out", text(&out), "--train", "1", "--test", "1"];
    run_in(dir.path(), &slice).refused(3, &["cannot create", "file/run"]);
    run_in(dir.path(), &["data", "fetch", text(&out)]).refused(3, &["cannot create", "file/run"]);
}

#[cfg(unix)]
#[test]
fn a_read_only_folder() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(dir.path().join("probe"), "").is_ok() {
        eprintln!("SKIPPED: this user may write to read-only folders");
        return;
    }
    let arguments = ["calibrate", "--samples", "100", "--bits", "4"];
    run_in(dir.path(), &arguments).refused(3, &["cannot create", "ermission"]);
}

#[test]
fn configurations() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.toml");
    let refused = |content: &str, arguments: &[&str], texts: &[&str]| {
        fs::write(&file, content).unwrap();
        run_in(dir.path(), &[arguments, &["--config", text(&file)]].concat()).refused(3, texts);
    };
    refused("learning_rate = 0.1", &["train"], &["c.toml", "unknown field `learning_rate`"]);
    refused("epochs = \"many\"", &["train"], &["c.toml", "expected"]);
    refused("lr = 0.1\nepochs = = 3", &["train"], &["c.toml", "line 2"]);
    refused("verb = \"calibrate\"", &["train"], &["c.toml", "settings of `calibrate`, not of `train`"]);
    // Where a run is, a file must not say: it could change another one.
    refused("resume = \"other\"", &["train"], &["c.toml", "`resume` is said on the command line only"]);
    refused("out = \"other\"", &["ptq"], &["c.toml", "`out`", "--out"]);
    refused("dry_run = true", &["qat"], &["c.toml", "`dry_run`", "--dry-run"]);
    refused("bits = [99]", &["calibrate"], &["c.toml", "--bits", "99"]);
    refused("input = \"x.npy\"\nsets = [\"A\"]", &["calibrate"], &["c.toml", "cannot be used with"]);
    run_in(dir.path(), &["train", "--config", "absent.toml"]).refused(3, &["cannot read absent.toml"]);
    run_in(dir.path(), &["data", "verify", "--config", text(&file)]).refused(2, &["takes no --config"]);
    fs::write(&file, "batch = 64").unwrap();
    run_in(dir.path(), &["bench", "train", "--config", text(&file)])
        .refused(2, &["`bench` takes no --config"]);
    assert!(!dir.path().join("runs").exists());
}
