//! `inspect --compare`: a layer in floats and quantized, on one axis, of any networks.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{data, network, records, run_in, text};
use models::data::augment::Normalization;
use models::{Network, Shortcut};

/// A folder with a float network, a data set, and what is made of them.
struct Lab {
    dir: tempfile::TempDir,
    weights: PathBuf,
    set: PathBuf,
}

impl Lab {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (weights, set) = (network(dir.path()), data(dir.path(), &records(40), &records(20)));
        Self { dir, weights, set }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The model that `verb` makes of the network in the run `out`.
    fn made(&self, verb: &str, out: &str, more: &[&str]) -> String {
        let inputs = ["--weights", text(&self.weights), "--data", text(&self.set)];
        let few = ["--calibration-images", "20", "--json"];
        let made = run_in(self.path(), &[&[verb, "--out", out], &inputs[..], &few, more].concat()).json();
        made["model"].as_str().unwrap().to_owned()
    }

    /// `inspect` of `weights` in the run `out`, few images seen.
    fn inspect(&self, weights: &str, out: &str, more: &[&str]) -> common::Result {
        let base = ["inspect", "--weights", weights, "--data", text(&self.set), "--images", "8"];
        run_in(self.path(), &[&base[..], &["--out", out, "--json"], more].concat())
    }

    fn picture(&self, out: &str, name: &str) -> String {
        let path = self.path().join(out).join(format!("plots/{name}.svg"));
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }
}

/// Asserts that the legend of `picture` has these names, and how many clipping rules each of the colours has.
fn shows(picture: &str, legend: &[&str], rules: &[usize]) {
    for name in legend {
        assert!(picture.contains(&format!(">{name}</text>")), "{name}: {picture}");
    }
    assert_eq!(picture.matches("class='s1 fill'").count(), 1, "one name has the first colour: {picture}");
    for (i, count) in rules.iter().enumerate() {
        let rule = format!("'s{} rule'", i + 1);
        assert_eq!(picture.matches(&rule).count(), *count, "{rule}: {picture}");
    }
}

#[test]
fn layers_before_and_after_are_drawn_on_one_axis() {
    let lab = Lab::new();
    let model = lab.made("ptq", "p", &["--bits", "W2A4"]);
    let layers = ["--layers", "layer2.0.conv1,fc,conv1"];
    lab.inspect(text(&lab.weights), "i", &[&layers[..], &["--compare", &model]].concat()).json();
    for layer in ["layer2.0.conv1", "fc"] {
        // Both ends of the clipping range, or, where nothing is negative, the upper one.
        for (part, ends) in [("weights", 2), ("input", 1)] {
            let picture = lab.picture("i", &format!("{layer}-{part}, float and quantized"));
            shows(&picture, &["float", "PTQ W2A4"], &[ends]);
        }
    }
    let spared = lab.picture("i", "conv1-weights, float and quantized");
    shows(&spared, &["float", "PTQ W2A4 (in floats)"], &[0]);
    let refused = lab.inspect(text(&lab.weights), "r", &["--compare", text(&lab.weights)]);
    refused.refused(3, &["network.safetensors", "no quantized network", "`ptq`"]);
}

#[test]
fn networks_of_all_kinds_are_told_apart_by_name_and_colour() {
    let lab = Lab::new();
    let (sawb, other) = (["--bits", "W2A2"], ["--bits", "W2A2", "--method", "symmetric"]);
    let ptq = lab.made("ptq", "p1", &sawb);
    let again = lab.made("ptq", "p2", &other);
    let channels = lab.made("ptq", "p3", &["--bits", "W4A4", "--weight-granularity", "per_channel"]);
    let qat = lab.made("qat", "q", &[&sawb[..], &["--epochs", "1", "--batch", "20"]].concat());
    // The pictures of weights and of inputs.
    let compare = |weights: &str, out: &str, models: &[&str]| {
        let models = ["--layers", "layer2.0.conv1", "--compare", &models.join(",")];
        let result = lab.inspect(weights, out, &models);
        assert_eq!(result.code, 0, "{result:?}");
        let what = if weights == text(&lab.weights) { "float and quantized" } else { "quantized networks" };
        ["weights", "input"].map(|part| lab.picture(out, &format!("layer2.0.conv1-{part}, {what}")))
    };

    let [weights, input] = compare(text(&lab.weights), "both", &[&ptq, &qat]);
    shows(&weights, &["float", "PTQ W2A2", "QAT W2A2"], &[2, 2, 0]);
    shows(&input, &["float", "PTQ W2A2", "QAT W2A2"], &[1, 1, 0]);

    // One verb, the same bits: the files tell them apart, and each clips in its own colour.
    let [weights, input] = compare(text(&lab.weights), "alike", &[&ptq, &again]);
    let names = ["p1", "p2"].map(|run| format!("PTQ W2A2 {run}/ResNet8_W2A2.safetensors"));
    shows(&weights, &["float", &names[0], &names[1]], &[2, 2, 0]);
    shows(&input, &["float", &names[0], &names[1]], &[1, 1, 0]);

    // Scales of channels have no grid in common: the narrowest and the widest range.
    let [weights, _] = compare(text(&lab.weights), "channels", &[&channels, &qat]);
    shows(&weights, &["float", "PTQ W4A4 (per channel)", "QAT W2A2"], &[4, 2, 0]);
    let page = fs::read_to_string(lab.path().join("channels/report.html")).unwrap();
    assert!(page.contains("the narrowest and the widest of the channels"), "{page}");

    // A quantized network is no float network: it is drawn as what it is, beside the other.
    let [weights, input] = compare(&ptq, "pair", &[&qat]);
    shows(&weights, &["PTQ W2A2 as stored", "PTQ W2A2", "QAT W2A2"], &[2, 2, 0]);
    shows(&input, &["PTQ W2A2 before rounding", "PTQ W2A2", "QAT W2A2"], &[1, 1, 0]);
    assert!(!weights.contains(">float<") && !input.contains(">float<"));
}

#[test]
fn a_quantized_network_is_inspected_behind_its_own_rounding() {
    let lab = Lab::new();
    let ptq = lab.made("ptq", "p", &["--bits", "W2A2"]);
    let seen = |out: &str, more: &[&str]| {
        let json = lab.inspect(&ptq, out, &[&["--layers", "conv1,fc"], more].concat()).json();
        [0, 1].map(|i| json["layers"][i]["activation"]["max"].as_f64().unwrap())
    };
    let (own, asked) = (seen("own", &[]), seen("asked", &["--bits", "2", "--compare", &ptq]));
    assert_eq!(own[0], asked[0], "the images");
    assert_ne!(own[1], asked[1], "behind rounded layers, and behind layers in floats");
    let picture = lab.picture("asked", "fc-input, quantized networks");
    shows(&picture, &["PTQ W2A2 without rounding"], &[1]);
}

#[test]
fn networks_of_other_depths_and_without_floats() {
    let lab = Lab::new();
    let ptq = lab.made("ptq", "p", &["--bits", "W4A4"]);
    let deep = lab.path().join("deep.safetensors");
    let network = Network::fresh(14, Shortcut::B, Normalization::COURSE, 5).unwrap();
    network.checkpoint(&network.params).write(&deep).unwrap();
    lab.inspect(text(&deep), "i", &["--layers", "layer1.1.conv1", "--compare", &ptq]).json();
    let picture = lab.picture("i", "layer1.1.conv1-weights, float and quantized");
    shows(&picture, &["float", "PTQ W4A4 (no such layer)"], &[0]);

    let deep = Lab { weights: deep, ..lab };
    let model = deep.made("ptq", "d", &["--bits", "W4A4"]);
    let shallow = deep.path().join("network.safetensors");
    let result = deep.inspect(text(&shallow), "j", &["--compare", &model]);
    let said = "its layers layer1.1.conv1, layer1.1.conv2, layer2.1.conv1, layer2.1.conv2, layer3.1.conv1, layer3.1.conv2";
    assert!(result.code == 0 && result.stderr.contains(said), "{result:?}");

    let integers = deep.made("ptq", "o", &["--bits", "W4A4", "--policy", "product"]);
    let refused = deep.inspect(&integers, "k", &["--compare", &model]);
    refused.refused(2, &["--compare", "integer-only network", ".latent"]);
    for (flag, value) in [("--bits", "4"), ("--images", "4"), ("--out", "k")] {
        let words = ["inspect", "--weights", &integers, flag, value];
        run_in(deep.path(), &words).refused(2, &[flag, "integer-only network", "nothing is drawn"]);
    }
}
