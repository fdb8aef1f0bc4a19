//! Coded model files: to the last bit what the packed files hold, smaller, and refused where they are damaged.

use std::path::Path;

use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::formats::{Model, int_model, open, qlz};
use models::{Checkpoint, Network, QuantizedNetwork, Shortcut};
use quant::int_graph::IntGraph;
use quant::{ActivationRule, Granularity, Policy, QuantConfig, Quantizer, ScaleRule, Widths};

fn quantized(bits: &str, policy: Policy, granularity: Granularity, of: Normalization) -> QuantizedNetwork {
    let network = Network::fresh(8, Shortcut::B, of, 3).unwrap();
    let set = noise_images(16, 4, &of, 1).unwrap();
    let images = Loader::evaluation(&set, 8, of).epoch(0);
    let config = QuantConfig {
        bits: bits.parse().unwrap(),
        policy,
        weight_granularity: granularity,
        ..QuantConfig::default()
    };
    let quantizer = Quantizer::new(config).with_activation_rule(ActivationRule::Scale(ScaleRule::HEURISTIC));
    QuantizedNetwork::calibrate(&network, &quantizer, images).unwrap()
}

fn network(path: &Path) -> Checkpoint {
    match qlz::read(path).unwrap() {
        qlz::Content::Network(checkpoint) => checkpoint,
        qlz::Content::Integer(..) => panic!("integer-only"),
    }
}

/// Both files of a network hold the same tensors, bit for bit, and the same quantization; the second is made from the first.
#[test]
fn a_coded_file_is_the_packed_file_to_the_last_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, coded) = (dir.path().join("q.safetensors"), dir.path().join("q.qlz"));
    let own = "0.5,0.25,0.125/0.2,0.3,0.7".parse().unwrap();
    for (bits, granularity, normalization) in [
        ("W4A4", Granularity::PerTensor, Normalization::TRUE),
        ("W3A8", Granularity::PerChannel, Normalization::COURSE),
        ("W8A2", Granularity::PerTensor, own),
        ("W1A16", Granularity::PerTensor, Normalization::IMAGENET),
        ("W12A8", Granularity::PerTensor, Normalization::TRUE),
    ] {
        let mut q = quantized(bits, Policy::Course, granularity, normalization);
        // Mixed widths, one layer in floats, and a range that no rule gives.
        let plan = &mut q.quantization.plan;
        plan.set("layer2.0.conv2", Some(Widths { w: 5, a: 7 })).unwrap();
        plan.set("layer3.0.conv1", None).unwrap();
        q.save(&packed, &[("seed", "7".into()), ("command", "cli ptq".into())]).unwrap();
        let from = open::load_checkpoint(&packed).unwrap();
        let read = QuantizedNetwork::from_checkpoint(&from, None).unwrap().unwrap();
        let (bytes, parts) = qlz::of_network(&read, &from.metadata).unwrap();
        std::fs::write(&coded, &bytes).unwrap();
        let back = network(&coded);
        let sum = parts.header + parts.scales + parts.norms + parts.codes;
        assert_eq!(sum, bytes.len(), "{bits}");
        assert_eq!(from.tensors.len(), back.tensors.len());
        for (name, a) in &from.tensors {
            let b = back.tensor(name).unwrap_or_else(|| panic!("{name} is not there"));
            let bits = |t: &engine::Tensor| t.data().iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!((a.shape(), bits(a)), (b.shape(), bits(b)), "{name}");
        }
        let again = QuantizedNetwork::from_checkpoint(&back, None).unwrap().unwrap();
        assert_eq!(again.network.normalization, normalization);
        assert_eq!(
            (&again.quantization.plan, &again.quantization.config),
            (&read.quantization.plan, &read.quantization.config)
        );
        assert_eq!(again.quantization.weight_scales, read.quantization.weight_scales);
        for (name, _) in read.quantization.plan.inputs() {
            assert_eq!(again.quantization.ranges.0.get(name), read.quantization.ranges.0.get(name), "{name}");
        }
        assert_eq!((back.metadata["seed"].as_str(), back.metadata["command"].as_str()), ("7", "cli ptq"));
        // From the float weights, and from what was read, the same file comes.
        assert!(qlz::of_network(&again, &back.metadata).unwrap().0 == bytes);
        assert!(qlz::of_network(&q, &from.metadata).unwrap().0 == bytes, "{bits}");
        let before = std::fs::metadata(&packed).unwrap().len() as usize;
        assert!(bytes.len() + 5_000 < before, "{bits}: {} bytes of {before}", bytes.len());
    }
}

#[test]
fn integer_only_networks_come_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (packed, coded) = (dir.path().join("q.safetensors"), dir.path().join("q.qlz"));
    for bits in ["W4A4", "W2A8"] {
        let q = quantized(bits, Policy::Product, Granularity::PerChannel, Normalization::TRUE);
        q.save(&packed, &[("seed", "7".into())]).unwrap();
        let (graph, about) = int_model::read(&packed).unwrap();
        let (bytes, _) = qlz::of_integers(&graph, &about).unwrap();
        std::fs::write(&coded, &bytes).unwrap();
        let opened = open::open(&coded, None, None).unwrap();
        let Model::Integer(back) = opened.model else { panic!("not integer-only") };
        assert_eq!((&back, &opened.metadata), (&graph, &about));
        assert!(bytes.len() < std::fs::metadata(&packed).unwrap().len() as usize);
        // Without a word about the architecture, names are kept as texts.
        let (bytes, _) = qlz::of_integers(&graph, &std::collections::BTreeMap::new()).unwrap();
        std::fs::write(&coded, bytes).unwrap();
        assert!(matches!(qlz::read(&coded).unwrap(), qlz::Content::Integer(back, _) if back == graph));
        let e = open::load_checkpoint(&coded).unwrap_err().to_string();
        assert!(e.contains("integer-only network"), "{e}");
        // The network itself gives the same file as its lowered form.
        let (direct, _) = qlz::of_network(&q, &[("seed".into(), "7".into())].into()).unwrap();
        std::fs::write(&coded, direct).unwrap();
        assert!(matches!(qlz::read(&coded).unwrap(), qlz::Content::Integer(back, _) if back == graph));
    }
}

#[test]
fn shorter_numbers_are_another_network_with_the_same_codes() {
    let q = quantized("W4A4", Policy::Course, Granularity::PerTensor, Normalization::TRUE);
    let (all, _) = qlz::of_network(&q, &Default::default()).unwrap();
    let short = q.rounded(7).unwrap();
    let (bytes, parts) = qlz::of_network(&short, &Default::default()).unwrap();
    assert!(bytes.len() + 500 < all.len(), "{} of {}", bytes.len(), all.len());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("short.qlz");
    std::fs::write(&file, &bytes).unwrap();
    let (back, expected) = (network(&file), short.checkpoint());
    for (name, tensor) in &back.tensors {
        let codes =
            name.strip_suffix(".weight").is_some_and(|layer| q.quantization.plan.get(layer).is_some());
        let short = tensor.data().iter().all(|v| v.to_bits().trailing_zeros() >= 16);
        assert!(codes || short, "{name}");
        assert_eq!(Some(tensor), expected.tensor(name), "{name}");
    }
    assert!(parts.codes > 0);
    // Rounded once, rounding changes nothing.
    let twice = short.rounded(7).unwrap();
    assert_eq!((&twice.network.params, &twice.quantization), (&short.network.params, &short.quantization));
    let product = quantized("W4A4", Policy::Product, Granularity::PerTensor, Normalization::TRUE);
    let graph = product.lower().unwrap();
    let size = |graph: &IntGraph| qlz::of_integers(graph, &Default::default()).unwrap().0.len();
    assert!(size(&graph.rounded(10).unwrap()) + 1_000 < size(&graph));
}

#[test]
fn damage_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("q.qlz");
    let q = quantized("W4A4", Policy::Course, Granularity::PerTensor, Normalization::TRUE);
    let (good, _) = qlz::of_network(&q, &Default::default()).unwrap();
    let refused = |bytes: &[u8], what: &str| {
        std::fs::write(&file, bytes).unwrap();
        let e = open::open(&file, None, None).unwrap_err().to_string();
        assert!(e.contains("q.qlz") && e.contains(what), "{e}");
    };
    refused(&good[..7], "cut short");
    refused(&[b"QLZ\x02", &good[4..]].concat(), "version 2, this program reads 1");
    let mut bytes = good.clone();
    *bytes.last_mut().unwrap() ^= 1;
    refused(&bytes, "its checksum is");
    let resealed = |stream: &[u8]| [b"QLZ\x01", &crc32fast::hash(stream).to_le_bytes()[..], stream].concat();
    refused(&resealed(&good[8..good.len() - 9]), "ends before its last symbol");
    refused(&resealed(&[&good[8..], b"more"].concat()), "4 bytes are left");
    assert!(open::Format::detect(&file).unwrap() == open::Format::Coded);
}
