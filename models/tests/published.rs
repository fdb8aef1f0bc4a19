//! Reader, importer, normalisation, graph and evaluation together: published checkpoints score, on the full test
//! set, the accuracy that PyTorch measures for them.

use std::path::PathBuf;

use engine::Float;
use models::{
    data::augment::Normalization, data::cifar10::Cifar10, data::loader::Loader, evaluate,
    formats::open::load_network,
};

fn top1(file: &str, normalization: Option<Normalization>) -> Option<f64> {
    let shared = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared"));
    if !shared.join("data").exists() || !shared.join("pretrained").exists() {
        eprintln!("SKIPPED: no data and checkpoints at {}", shared.display());
        return None;
    }
    let data = Cifar10::open(shared.join("data")).unwrap();
    let network = load_network(shared.join("pretrained").join(file), normalization).unwrap();
    let loader = Loader::evaluation(&data.test, 128, network.normalization);
    let batches = loader.prefetch(0, 0, 2);
    let top1 = evaluate(&network.graph, &network.params, batches, &mut Float, |_| ()).unwrap().top1();
    eprintln!("{file}: {top1:.2}");
    Some(top1)
}

#[test]
fn option_b_with_its_own_normalization() {
    if let Some(top1) = top1("resnet20_option_b_92.97.safetensors", None) {
        assert!((top1 - 92.97).abs() <= 0.03, "{top1}");
    }
}

#[test]
fn option_a_from_the_original_pytorch_file() {
    if let Some(top1) = top1("resnet20_option_a_91.73.th", Some(Normalization::IMAGENET)) {
        assert!((top1 - 91.73).abs() <= 0.03, "{top1}");
    }
}
