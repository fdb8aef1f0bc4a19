//! The page of `docs/demo` computes what the native program computes.
//!
//! `tests/demo/expected.json` stands between the two: here the logits of the page's own networks and pictures are computed by
//! the native engine and compared with it (`BLESS=1` writes it), and `tests/demo/check.py` compares with it what headless
//! Chromium computes, `tests/demo/logits.mjs` what Node does. Both are called from here where their programs are installed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;

use demo::Demo;
use serde_json::{Map, Value, json};

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

/// The bytes that a script of the page keeps in base64.
fn kept(name: &str) -> Vec<u8> {
    let script = fs::read_to_string(repository(&format!("docs/demo/data/{name}.js"))).unwrap();
    let text = script.split('"').nth(1).expect("a string").bytes().filter(|&c| c != b'=');
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0u32, 0);
    for c in text {
        bits = bits << 6 | digits.iter().position(|&d| d == c).expect("base64") as u32;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}

/// The model file of a network.
fn model(name: &str) -> Vec<u8> {
    let mut file = Vec::new();
    flate2::read::GzDecoder::new(&kept(name)[..]).read_to_end(&mut file).unwrap();
    file
}

/// The pictures, `[32][32][3]`.
fn pictures() -> Vec<Vec<u8>> {
    let interleave = |record: &[u8]| (0..3 * 1024).map(|i| record[1 + i % 3 * 1024 + i / 3]).collect();
    kept("pictures").chunks(3073).map(interleave).collect()
}

fn names() -> impl Iterator<Item = (u32, u32, String)> {
    [2, 4, 8].into_iter().flat_map(|w| [2, 4, 8].map(|a| (w, a, format!("W{w}A{a}"))))
}

#[test]
fn the_networks_are_what_they_are_called_and_fit_in_a_page() {
    let table = fs::read_to_string(repository("docs/demo/data/networks.js")).unwrap();
    let mut packed = 0;
    for (w, a, name) in names() {
        packed += kept(&name).len();
        let file = model(&name);
        let mut demo = Demo::default();
        demo.load(&file).unwrap();
        let about: Value = serde_json::from_str(&demo.about()).unwrap();
        assert_eq!(about["about"]["bits"], name);
        let layers = about["layers"].as_array().unwrap();
        assert_eq!(layers.len(), 22, "19 convolutions, two shortcuts, the classifier");
        for layer in &layers[1..21] {
            assert_eq!(layer["w_bits"], w, "{name}: {layer}");
            let codes = demo.weight_codes(layer["node"].as_u64().unwrap() as usize).unwrap();
            assert_eq!(codes.len(), 1 << w);
            let shape = layer["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap());
            assert_eq!(u64::from(codes.iter().sum::<u32>()), shape.product::<u64>());
        }
        assert!(layers[1..21].iter().any(|layer| layer["a_bits"] == a), "{name}");
        let line = table.lines().find(|line| line.contains(&format!("{name}:"))).expect("a line");
        assert!(line.contains(&format!("bytes: {} ", file.len())), "{name}: {} bytes, {line}", file.len());
    }
    assert!(packed < 1_500_000, "{packed} bytes of networks");
    assert!(kept("engine").len() < 400_000, "{} bytes of module", kept("engine").len());
    assert_eq!(pictures().len(), 20);
}

#[test]
fn the_expected_logits_are_the_native_ones() {
    let mut all = Map::new();
    for (_, _, name) in names() {
        let mut demo = Demo::default();
        demo.load(&model(&name)).unwrap();
        let answer = |picture: &Vec<u8>| {
            let answer = demo.classify(picture).unwrap();
            let numbers = answer.chunks(4).map(|n| n.try_into().unwrap());
            let integers: Vec<_> = numbers.clone().take(10).map(i32::from_le_bytes).collect();
            let real: Vec<_> = numbers.skip(10).map(u32::from_le_bytes).collect();
            json!({ "integers": integers, "real": real })
        };
        let answers: Vec<_> = pictures().iter().map(answer).collect();
        all.insert(name, answers.into());
    }
    let path = repository("tests/demo/expected.json");
    // A line for each picture.
    let lines = all.iter().map(|(name, answers)| {
        let answers: Vec<_> = answers.as_array().unwrap().iter().map(Value::to_string).collect();
        format!("\"{name}\": [\n{}\n]", answers.join(",\n"))
    });
    let text = format!("{{\n{}\n}}\n", lines.collect::<Vec<_>>().join(",\n"));
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &text).unwrap();
    }
    assert!(fs::read_to_string(&path).unwrap() == text, "{path:?} has other logits (BLESS=1 writes it)");
}

#[test]
fn what_is_wrong_is_said_in_one_line() {
    let mut demo = Demo::default();
    assert_eq!(demo.about(), "null");
    assert_eq!(demo.classify(&[0; 3072]).unwrap_err(), "no network has been loaded");
    assert!(demo.load(b"no model").unwrap_err().contains("not a complete safetensors file"));
    demo.load(&model("W4A4")).unwrap();
    assert_eq!(demo.classify(&[0; 3]).unwrap_err(), "an image has 32 x 32 x 3 bytes, got 3");
    assert_eq!(demo.input_codes(1).unwrap_err(), "the network has seen no image");
    assert_eq!(demo.weight_codes(0).unwrap_err(), "this node has no weights");
    demo.classify(&[0; 3072]).unwrap();
    assert_eq!(demo.input_codes(1).unwrap().iter().sum::<u32>(), 3072);
    assert_eq!(demo.input_codes(1000).unwrap_err(), "this node has no weights");
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Runs a check that needs more than Rust; what it says is said.
fn check(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(repository("")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    eprintln!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn node_computes_the_same_logits() {
    if !has("node") {
        eprintln!("SKIPPED: no node here, so the module of docs/demo was not run in it");
        return;
    }
    check("node", &["tests/demo/logits.mjs"]);
}

#[test]
fn the_page_computes_the_same_logits_in_a_browser_and_is_clean() {
    if !has("python3") || !["chromium", "chromium-browser", "google-chrome"].iter().any(|name| has(name)) {
        eprintln!("SKIPPED: no python3 or no chromium; tests/report/check.sh installs it where it can");
        return;
    }
    check("python3", &["tests/demo/check.py"]);
}

#[test]
fn the_module_builds_and_whether_it_is_stale_is_said() {
    let target = ["--print", "target-libdir", "--target", "wasm32-unknown-unknown"];
    let folder = Command::new("rustc").args(target).output().unwrap().stdout;
    let folder = PathBuf::from(String::from_utf8(folder).unwrap().trim());
    if !fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
        eprintln!("SKIPPED: no std for wasm32-unknown-unknown (rustup target add wasm32-unknown-unknown)");
        return;
    }
    // Another compiler makes other bytes of the same sources.
    let version = Command::new("rustc").arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let script = fs::read_to_string(repository("docs/demo/data/engine.js")).unwrap();
    if !script.contains(&version) {
        eprintln!("SKIPPED: the module of docs/demo was built by another compiler than {version}");
        return;
    }
    check("docs/demo/build.sh", &["engine", "--only"]);
    let folder = repository(&std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned()));
    let built = format!("{}-wasm/wasm32-unknown-unknown/wasm/demo.wasm", folder.display());
    // Stale is not wrong: what it computes is compared above, whatever it was made of.
    if fs::read(built).unwrap() != kept("engine") {
        eprintln!("SKIPPED: the module of docs/demo is stale; docs/demo/build.sh engine makes it anew");
    }
}
