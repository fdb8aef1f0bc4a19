//! Exported files, read back: by this project where it reads the format, else field by field.
//! The programs they are for read them in `cli/tests/cli_interop.rs`.

use std::collections::BTreeMap;

use models::data::augment::Normalization;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::formats::exported::{Exported, Names};
use models::formats::{Model, Opened, onnx, open, torch_file, torch_save};
use models::{Network, QuantizedNetwork, Shortcut, evaluate};
use quant::{Granularity, Policy, QuantConfig, Quantizer};

fn network(shortcut: Shortcut) -> Network {
    Network::fresh(8, shortcut, Normalization::TRUE, 3).unwrap()
}

fn loader() -> Loader {
    let set = noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
    Loader::evaluation(&set, 8, Normalization::TRUE)
}

fn quantized(bits: &str, policy: Policy, weight_granularity: Granularity) -> QuantizedNetwork {
    let config =
        QuantConfig { bits: bits.parse().unwrap(), policy, weight_granularity, ..QuantConfig::default() };
    let quantizer = Quantizer::new(config);
    QuantizedNetwork::calibrate(&network(Shortcut::B), &quantizer, loader().epoch(0)).unwrap()
}

#[test]
fn a_pytorch_file_comes_back_equal_under_any_names() {
    for (shortcut, names, expected) in [
        (Shortcut::A, Names::Shortcut, "linear.weight"),
        (Shortcut::B, Names::Shortcut, "layer2.0.shortcut.0.weight"),
        (Shortcut::B, Names::Downsample, "layer2.0.downsample.0.weight"),
    ] {
        let network = network(shortcut);
        let exported = Exported::of(&network, None, names).unwrap();
        assert!(exported.tensors.iter().any(|(name, _)| name == expected), "{expected}");
        let counters = exported.tensors.iter().filter(|(name, _)| name.ends_with("num_batches_tracked"));
        assert_eq!(counters.count(), if shortcut == Shortcut::A { 7 } else { 9 });
        let bytes = torch_save::to_bytes(&exported, &BTreeMap::new()).unwrap();
        assert_eq!(bytes, torch_save::to_bytes(&exported, &BTreeMap::new()).unwrap());
        let back = torch_file::read_bytes("network.pt".as_ref(), &bytes, None).unwrap();
        assert_eq!(Network::from_checkpoint(back, None).unwrap().params, network.params);
    }
}

#[test]
fn a_quantized_pytorch_file_holds_the_weights_that_the_integers_stand_for() {
    let quantized = quantized("W3A4", Policy::Course, Granularity::PerChannel);
    let exported = Exported::of(&quantized.network, Some(&quantized), Names::Downsample).unwrap();
    assert_eq!(exported.grids.len(), 9); // two convolutions in each of 3 blocks, 2 downsamples, fc
    let bytes = torch_save::to_bytes(&exported, &BTreeMap::new()).unwrap();
    let back = torch_file::read_bytes("network.pt".as_ref(), &bytes, None).unwrap();
    let w = back.tensor("layer1.0.conv1.weight").unwrap();
    let codes = quantized.common_layer("layer1.0.conv1").unwrap().unwrap();
    for (o, channel) in w.data().chunks(16 * 9).enumerate() {
        let s = codes.weight.scale[o];
        let on_grid = |w: &f32| (-4..=3).any(|code| *w == s * code as f32);
        assert!(channel.iter().all(on_grid), "channel {o}");
    }
    let float = quantized.network.params.get("conv1.weight").unwrap();
    assert_eq!(back.tensor("conv1.weight"), Some(float), "policy `course` leaves conv1 as it is");
}

#[test]
fn quantized_safetensors_and_pytorch_files_are_the_same_quantized_network() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exported");
    for (granularity, names) in
        [(Granularity::PerTensor, Names::Downsample), (Granularity::PerChannel, Names::Shortcut)]
    {
        let quantized = quantized("W4A4", Policy::Course, granularity);
        let exported = Exported::of(&quantized.network, Some(&quantized), names).unwrap();
        let metadata = exported.metadata(Some(&quantized), &quantized.checkpoint().metadata).unwrap();
        let logits = |q: &QuantizedNetwork| {
            let mut integers = q.quantization.integers().unwrap();
            let Network { graph, params, .. } = &q.network;
            evaluate(graph, params, loader().epoch(0), &mut integers, |_| {}).unwrap().logits
        };
        let files = [exported.to_safetensors(&metadata), torch_save::to_bytes(&exported, &metadata)];
        for bytes in files {
            std::fs::write(&path, bytes.unwrap()).unwrap();
            let Opened { model, metadata: read, .. } = open::open(&path, None, None).unwrap();
            let Model::Quantized(back) = model else { panic!("{read:?}") };
            assert_eq!(logits(&back), logits(&quantized));
            assert_eq!(back.network.normalization, Normalization::TRUE);
            assert_eq!(read, metadata);
        }
        // A script's own `metadata` says nothing of a quantized network.
        let foreign = BTreeMap::from([("mean".to_owned(), "9".to_owned())]);
        std::fs::write(&path, torch_save::to_bytes(&exported, &foreign).unwrap()).unwrap();
        let Opened { model, metadata, .. } = open::open(&path, None, None).unwrap();
        assert!(matches!(model, Model::Float(_)) && metadata.is_empty());
    }
}

/// The fields of a protobuf message: numbers, and the bytes of those that have a length.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().expect("a byte");
            *bytes = rest;
            value |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let (value, content) = match key & 7 {
            0 => (varint(&mut bytes), 0),
            2 => (0, varint(&mut bytes) as usize),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        fields.push((key >> 3, value, &bytes[..content]));
        bytes = &bytes[content..];
    }
    fields
}

/// Of an ONNX file: the type and raw bytes of each constant, by name.
type Constants = BTreeMap<String, (u64, Vec<u8>)>;

/// The constants, and how many nodes there are of each kind.
fn constants_and_nodes(file: &[u8]) -> (Constants, BTreeMap<String, usize>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let graph = fields(file).into_iter().find(|field| field.0 == 7).expect("a graph").2;
    let (mut constants, mut nodes) = (BTreeMap::new(), BTreeMap::new());
    for (number, _, content) in fields(graph).into_iter().filter(|field| [1, 5].contains(&field.0)) {
        let inside = fields(content);
        let of = |number| inside.iter().find(|field| field.0 == number);
        match number {
            1 => *nodes.entry(text(of(4).unwrap().2)).or_default() += 1,
            _ => _ = constants.insert(text(of(8).unwrap().2), (of(2).unwrap().1, of(9).unwrap().2.to_vec())),
        }
    }
    (constants, nodes)
}

#[test]
fn onnx_has_the_codes_and_zero_points_of_the_other_sign() {
    let quantized = quantized("W4A4", Policy::Product, Granularity::PerTensor);
    let z = quantized.quantization.ranges.params("conv1", 8).unwrap().zero_points()[0];
    assert!(z < 0, "a normalised image has negative values");
    let write =
        |opset| onnx::to_bytes(&quantized.network, Some(&quantized), opset, &BTreeMap::new()).unwrap();
    assert_eq!(onnx::least_opset(Some(&quantized.quantization.plan)), 21);
    for (opset, bytes_of_codes, types) in [(13, 16 * 16 * 9, (3, 2)), (21, 16 * 16 * 9 / 2, (22, 21))] {
        let (constants, nodes) = constants_and_nodes(&write(opset));
        assert_eq!(constants["conv1.input_zero_point"], (2, vec![-z as u8]), "uint8");
        let (element, codes) = &constants["layer1.0.conv1.weight_quantized"];
        assert_eq!((*element, codes.len()), (types.0, bytes_of_codes));
        assert_eq!(constants["layer1.0.conv1.input_zero_point"].0, types.1);
        let first = if opset == 13 { codes[0] as i8 } else { (codes[0] << 4) as i8 >> 4 };
        let layer = quantized.common_layer("layer1.0.conv1").unwrap().unwrap();
        assert_eq!(i16::from(first), layer.w_int.data()[0]);
        // Where a type is wider than the grid, only a clip keeps to the grid.
        assert_eq!(nodes.contains_key("Clip"), opset == 13);
        assert_eq!((nodes["Conv"], nodes["Gemm"], nodes["BatchNormalization"]), (9, 1, 9));
    }
}

#[test]
fn a_width_without_a_type_is_refused() {
    let quantized = quantized("W8A16", Policy::Course, Granularity::PerTensor);
    let write = |opset| onnx::to_bytes(&quantized.network, Some(&quantized), opset, &BTreeMap::new());
    assert!(write(21).is_ok());
    assert!(write(13).unwrap_err().to_string().contains("opset 13 has no integers of 16 bits"));
}
