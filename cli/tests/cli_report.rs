//! `report`: one page about runs of every kind, with whatever they hold, and one line about what is wrong with them.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{data, network, records, run_in, text};
use models::data::augment::Normalization;
use models::data::cifar10::RECORD_BYTES;
use models::{Network, Shortcut};

/// Parts of every page, whether there is something for them or not.
const PARTS: [&str; 10] = [
    "Accuracy",
    "Training",
    "Which layer hurts?",
    "Before and after",
    "Error against scale",
    "Confusion",
    "Newly wrong",
    "Size by layer",
    "Size against accuracy",
    "Configuration and machine",
];

/// A file of the repository.
fn repository(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file)
}

/// A page, checked for what every page must be: whole, and fetching nothing.
fn page(path: &Path) -> String {
    let page = fs::read_to_string(path).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    for outside in ["http://", "https://", "src='/", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in PARTS {
        assert!(page.contains(&format!(">{part}</h2>")), "{part}");
    }
    page
}

#[test]
fn a_page_of_several_runs_shows_all_that_they_hold() {
    let dir = tempfile::tempdir().unwrap();
    // The network that comes with the program, which is right often enough to become wrong, and a few of its images.
    let slice = |file: &str, count: usize| {
        fs::read(models::assets::cifar10_slice().join(file)).unwrap()[..count * RECORD_BYTES].to_vec()
    };
    let set = data(dir.path(), &slice("data_batch_1.bin", 64), &slice("test_batch.bin", 60));
    let inputs = ["--data", text(&set)];
    let run = |verb: &str, more: &[&str]| {
        let result = run_in(dir.path(), &[&["--json", verb, "--out", verb], &inputs[..], more].concat());
        page(&dir.path().join(result.json()["report"].as_str().unwrap()))
    };
    let ptq = run("ptq", &["--bits", "W2A2", "--calibration-images", "32"]);
    assert!(ptq.contains("No run was trained.") && ptq.contains("No run has searched."), "{ptq}");
    run("qat", &["--bits", "W4A4", "--calibration-images", "32", "--epochs", "2", "--batch", "32"]);
    let search = ["--floor", "0", "--images", "30", "--evaluations", "3", "--min-bits", "7"];
    assert!(run("search", &search).contains("The front of search"));

    let result = run_in(
        dir.path(),
        &[
            "--json",
            "report",
            "ptq",
            "qat",
            "search",
            "qat/metrics.jsonl",
            "--images",
            "16",
            "--out",
            "all.html",
        ],
    );
    assert_eq!(result.json()["runs"].as_array().unwrap().len(), 4);
    let all = page(&dir.path().join("all.html"));
    // Nothing is missing but the settings of the metrics that stand alone.
    assert_eq!(all.matches("class='absent'").count(), 1);
    assert!(all.contains("Only the metrics of this run are here"));
    for shown in [
        "PTQ W2A2 (ptq), integer layers",
        "QAT W4A4 (qat), simulated in floats",
        "quantized: <b class='wrong'>",
        "data:image/png;base64,",
        "hurts most: rounded alone in the float network",
        "2 heuristic",
        "images of cat are taken for",
        "hardware threads",
        "cli ptq --bits W2A2",
    ] {
        assert!(all.contains(shown), "{shown}");
    }
    assert_eq!(all.matches("PTQ W2A2 (ptq): signal to noise").count(), 2); // title and description

    // Runs whose folders are called alike, and another data set with labels that are the same numbers.
    fs::create_dir(dir.path().join("b")).unwrap();
    fs::create_dir(dir.path().join("b/ptq")).unwrap();
    for entry in fs::read_dir(dir.path().join("ptq")).unwrap().map(|entry| entry.unwrap().path()) {
        fs::copy(&entry, dir.path().join("b/ptq").join(entry.file_name().unwrap())).unwrap();
    }
    let alike = ["--json", "report", "ptq", "b/ptq", "--images", "0", "--out", "alike.html"];
    let names = run_in(dir.path(), &alike).json()["runs"].clone();
    let name = |i: usize| names[i].as_str().unwrap();
    assert!(name(0) != name(1) && name(0).ends_with("/ptq") && name(1) == "b/ptq", "{names}");
    let results = dir.path().join("b/ptq/results.json");
    let renamed = fs::read_to_string(&results).unwrap().replace("\"airplane\"", "\"kite\"");
    fs::write(&results, renamed).unwrap();
    assert_eq!(run_in(dir.path(), &["report", "b/ptq", "--images", "0", "--out", "kite.html"]).code, 0);
    let kite = page(&dir.path().join("kite.html"));
    assert!(kite.contains("are others now") && !kite.contains("data:image"), "{kite}");

    // Without the images, the page says what they would show.
    fs::remove_dir_all(&set).unwrap();
    assert_eq!(run_in(dir.path(), &["report", "ptq", "--out", "less.html"]).code, 0);
    let less = page(&dir.path().join("less.html"));
    assert!(less.contains("give --data DIR") && !less.contains("data:image"), "{less}");
    run_in(dir.path(), &["report", "ptq", "--data", "data"]).refused(3, &["data", "no data set here"]);
    let other = Network::fresh(14, Shortcut::B, Normalization::COURSE, 5).unwrap();
    other.checkpoint(&other.params).write(dir.path().join("other.safetensors")).unwrap();
    let words = ["report", "ptq", "--weights", "other.safetensors"];
    run_in(dir.path(), &words).refused(3, &["other.safetensors: is a ResNet-14 option B", "give --weights"]);
}

#[test]
fn a_trained_network_and_a_table_have_pages_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let (net, set) = (network(dir.path()), data(dir.path(), &records(64), &records(30)));
    let common = ["--data", text(&set), "--epochs", "1"];
    let train = ["--json", "train", "--depth", "8", "--batch", "32", "--out", "train"];
    run_in(dir.path(), &[&train[..], &common].concat()).json();
    let trained = page(&dir.path().join("train/report.html"));
    assert!(trained.contains("Accuracy after each epoch") && trained.contains("float: "));
    let table =
        ["--json", "table", "--weights", text(&net), "--out", "table", "--bits", "W4A4", "--methods", "sawb"];
    let more = ["--calibration-images", "32"];
    let json = run_in(dir.path(), &[&table[..], &common, &more].concat()).json();
    let table = page(&dir.path().join("table/report.html"));
    // The best cell is taken apart.
    let cells = json["cells"].as_array().unwrap().iter();
    let top1 = |cell: &serde_json::Value| cell["top1"].as_f64().unwrap();
    let best = cells.max_by(|a, b| top1(a).total_cmp(&top1(b))).unwrap();
    let name = format!("{} W4A4 sawb", best["mode"].as_str().unwrap().to_uppercase());
    assert!(table.contains(&format!("{name}: signal to noise")), "{name}");
    // Among runs with other float networks it is compared with its own, and each says whose it is.
    assert_eq!(run_in(dir.path(), &["report", "train", "table", "--out", "both.html"]).code, 0);
    let both = page(&dir.path().join("both.html"));
    let points = format!("<td class='n'>{:+.2}</td>", top1(best) - json["top1_float"].as_f64().unwrap());
    for shown in ["float (train)", "float (table)", &points] {
        assert!(both.contains(shown), "{shown}");
    }
    for shown in ["PTQ W4A4 sawb", "QAT W4A4 sawb", "QAT_W4A4_sawb"] {
        assert!(table.contains(shown), "{shown}");
    }
}

/// Learned weights lie on their grid, and corrected batch norms know rounded layers: what a layer does alone is asked of the
/// float network.
#[test]
fn which_layer_hurts_is_asked_of_the_float_network() {
    let dir = tempfile::tempdir().unwrap();
    let (net, set) = (network(dir.path()), data(dir.path(), &records(64), &records(20)));
    let inputs = ["--weights", text(&net), "--data", text(&set), "--calibration-images", "64"];
    let numbers = |out: &str, more: &[&str]| {
        let ptq = ["ptq", "--bits", "W3A4", "--policy", "product", "--out", out, "--json"];
        run_in(dir.path(), &[&ptq[..], &inputs, more].concat()).json();
        let page = page(&dir.path().join(out).join("report.html"));
        let table = page.split(">Which layer hurts?</h2>").nth(1).unwrap().split("</table>").next().unwrap();
        table.split("<table").nth(1).expect("numbers").to_owned()
    };
    let plain = numbers("plain", &["--correction", "none"]);
    let learned = numbers("learned", &["--correction", "adaround,batch_norm", "--iterations", "2"]);
    assert_eq!(plain, learned, "the same float network, the same rules");
    assert!(!plain.contains("inf") && plain.contains("layer3.0.conv2"), "{plain}");
}

#[test]
fn the_example_page_is_clean_in_a_browser() {
    let here = repository("tests/report/browser.py");
    let has =
        |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !has("python3") || !["chromium", "chromium-browser", "google-chrome"].iter().any(|name| has(name)) {
        eprintln!("SKIPPED: no python3 or no chromium; tests/report/check.sh installs it where it can");
        return;
    }
    let example = repository("docs/report-example.html");
    assert!(fs::metadata(&example).unwrap().len() < 2_000_000);
    let check = Command::new("python3").args([here, example]).output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}

#[test]
fn what_is_wrong_with_a_run_is_said_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let refused = |run: &str, texts: &[&str]| {
        run_in(dir.path(), &["report", run, "--out", "r.html"]).refused(3, texts);
        assert!(!dir.path().join("r.html").exists());
    };
    refused("nowhere", &["nowhere", "no such run", "--out"]);
    file("empty/x", "");
    refused("empty", &["empty", "config.toml is missing"]);
    file("broken/config.toml", "verb = ");
    refused("broken", &["broken", "config.toml is damaged"]);
    file("other/config.toml", "verb = \"calibrate\"");
    refused("other", &["calibrate", "train, ptq, qat, search, table"]);
    file("metrics/config.toml", "verb = \"qat\"");
    file("metrics/metrics.jsonl", "{\n{}\n");
    refused("metrics", &["metrics.jsonl: line 1"]);
    file("results/config.toml", "verb = \"ptq\"");
    file("results/results.json", "{}");
    refused("results", &["results.json", "run the command again"]);
    file("no.jsonl", "{\"bits\": [1]}\n");
    refused("no.jsonl", &["holds no epochs"]);
    // A run that has only begun is no error: its page says what is not there yet.
    file("begun/config.toml", "verb = \"qat\"\nbits = \"W4A4\"");
    assert_eq!(run_in(dir.path(), &["report", "begun", "--out", "r.html"]).code, 0);
    let begun = page(&dir.path().join("r.html"));
    assert_eq!(begun.matches("class='absent'").count(), PARTS.len());
}
