//! `inspect --compare`: a layer in floats and quantized, on one axis.

mod common;

use std::fs;

use common::{data, network, records, run_in, text};

#[test]
fn layers_before_and_after_are_drawn_on_one_axis() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, set) = (network(dir.path()), data(dir.path(), &records(40), &records(20)));
    let network = ["--weights", text(&weights), "--data", text(&set)];
    let quantize = ["ptq", "--bits", "W2A4", "--calibration-images", "20", "--out", "p", "--json"];
    let model = run_in(dir.path(), &[&quantize[..], &network].concat()).json()["model"].clone();
    let model = model.as_str().unwrap();
    let inspect = ["inspect", "--layers", "layer2.0.conv1,fc", "--images", "8", "--out", "i", "--json"];
    run_in(dir.path(), &[&inspect[..], &network, &["--compare", model]].concat()).json();
    for layer in ["layer2.0.conv1", "fc"] {
        for part in ["weights", "input"] {
            let path = dir.path().join(format!("i/plots/{layer}-{part}, float and quantized.svg"));
            let picture = fs::read_to_string(&path).unwrap();
            // Both ends of the clipping range, or, where nothing is negative, the upper one.
            let ends = if part == "weights" { 2 } else { 1 };
            assert_eq!(picture.matches("'s1 rule'").count(), ends, "{}", path.display());
            for legend in ["float", "PTQ W2A4"] {
                assert!(picture.contains(&format!(">{legend}<")), "{}: {legend}", path.display());
            }
        }
    }
    let compared = [&inspect[..3], &network, &["--images", "0", "--compare", text(&weights)]].concat();
    run_in(dir.path(), &compared).refused(3, &["network.safetensors", "no quantized network", "`ptq`"]);
}
