//! Checkpoints there and back, and what is wrong with others.

use safetensors::SafeTensors;

use super::*;
use crate::formats::canonical_name;

fn small() -> Checkpoint {
    let mut c = Checkpoint {
        tensors: vec![
            ("conv1.weight".into(), Tensor::from_fn([2, 3, 3, 1], |i| i as f32 / 7.0)),
            ("fc.bias".into(), Tensor::from_fn([5], |i| -(i as f32))),
            ("fc.weight".into(), Tensor::from_fn([5, 2], |i| i as f32)),
        ],
        ..Checkpoint::default()
    };
    c.set("arch", "tiny \"quoted\"");
    c.set("epoch", 7);
    c.set_normalization(&Normalization::TRUE);
    c
}

fn expected() -> Vec<(String, Shape)> {
    small().tensors.iter().map(|(n, t)| (n.clone(), t.shape())).collect()
}

/// Writes `checkpoint` as is, reads it back.
fn reread(checkpoint: &Checkpoint) -> Result<Checkpoint> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    checkpoint.write(&path).unwrap();
    Checkpoint::read(&path)
}

#[test]
fn round_trip_with_metadata_and_torch_layout_on_disk() {
    let back = reread(&small()).unwrap();
    assert_eq!(back.metadata, small().metadata);
    assert_eq!(back.get::<usize>("epoch").unwrap(), Some(7));
    assert_eq!(back.get::<usize>("absent").unwrap(), None);
    assert!(back.get::<usize>("arch").unwrap_err().to_string().contains("expected usize"));
    assert_eq!(back.normalization().unwrap(), Some(Normalization::TRUE));
    let mut order: Vec<_> = small().tensors;
    order.reverse();
    let names: Vec<_> = order.iter().map(|(n, t)| (n.clone(), t.shape())).collect();
    assert_eq!(back.into_expected(&names).unwrap(), order);
    let bytes = small().to_bytes().unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("conv1.weight").unwrap().shape(), [2, 1, 3, 3]);
    assert_eq!(bytes, small().to_bytes().unwrap());
}

#[test]
fn missing_extra_and_misshaped_tensors_are_named_with_shapes() {
    let mut checkpoint = small();
    checkpoint.tensors.remove(0);
    let m = checkpoint.into_expected(&expected()).unwrap_err().to_string();
    assert!(m.contains("`conv1.weight` [2, 1, 3, 3] is missing"), "{m}");

    let mut checkpoint = small();
    checkpoint.tensors.push(("layer9.weight".into(), Tensor::zeros([4])));
    let m = checkpoint.into_expected(&expected()).unwrap_err().to_string();
    assert!(m.contains("`layer9.weight` [4] does not belong"), "{m}");

    let mut checkpoint = small();
    checkpoint.tensors[0].1 = Tensor::zeros([2, 3, 3, 4]);
    let m = checkpoint.into_expected(&expected()).unwrap_err().to_string();
    assert!(m.contains("`conv1.weight` has shape [2, 4, 3, 3]") && m.contains("[2, 1, 3, 3]"), "{m}");
}

#[test]
fn nan_and_infinite_weights_are_named_with_their_index() {
    for value in [f32::NAN, f32::INFINITY] {
        let mut checkpoint = small();
        checkpoint.tensors[2].1.data_mut()[3] = value;
        let m = reread(&checkpoint).unwrap_err().to_string();
        assert!(m.contains("`fc.weight` holds") && m.contains("index 3"), "{m}");
    }
}

#[test]
fn foreign_names_become_ours() {
    let ours = |name| canonical_name(name).unwrap_or_default();
    assert_eq!(ours("module.layer1.0.conv1.weight"), "layer1.0.conv1.weight");
    assert_eq!(ours("module.linear.bias"), "fc.bias");
    assert_eq!(ours("layer2.0.shortcut.0.weight"), "layer2.0.downsample.0.weight");
    assert_eq!(ours("bn1.num_batches_tracked"), "");
    let twice = Checkpoint {
        tensors: vec![("fc.bias".into(), Tensor::zeros([1])), ("linear.bias".into(), Tensor::zeros([1]))],
        ..Checkpoint::default()
    };
    assert!(reread(&twice).unwrap_err().to_string().contains("`fc.bias` occurs twice"));
}

#[test]
fn truncated_empty_and_foreign_files_are_errors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    let bytes = small().to_bytes().unwrap();
    for broken in [&bytes[..0], &bytes[..5], &bytes[..40], &bytes[..bytes.len() - 1], b"hello, world, hello"]
    {
        std::fs::write(&path, broken).unwrap();
        let m = Checkpoint::read(&path).unwrap_err().to_string();
        assert!(m.contains("not a complete safetensors file"), "{m}");
    }
    assert!(Checkpoint::read(dir.path()).unwrap_err().to_string().contains("is a folder"));
    assert!(Checkpoint::read(dir.path().join("absent")).unwrap_err().to_string().contains("cannot open"));
}

#[test]
fn optimizer_state_is_split_off() {
    let mut checkpoint = small();
    checkpoint.tensors.push(("momentum.fc.bias".into(), Tensor::zeros([5])));
    let momentum = checkpoint.split_off("momentum.");
    assert_eq!((momentum[0].0.as_str(), momentum.len()), ("fc.bias", 1));
    assert_eq!(checkpoint, small());
}

#[test]
fn floats_of_every_width_are_read() {
    use crate::formats::safetensors_file::{Stored, to_bytes};
    use safetensors::Dtype;

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.safetensors");
    let of_f64: Vec<u8> = [0.5f64, -1.5, 2.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    let of_halves = |halves: [u16; 3]| halves.iter().flat_map(|h| h.to_le_bytes()).collect::<Vec<u8>>();
    for (dtype, bytes) in [
        (Dtype::F64, of_f64),
        (Dtype::F16, of_halves([0x3800, 0xbe00, 0x4000])),
        (Dtype::BF16, of_halves([0x3f00, 0xbfc0, 0x4000])),
    ] {
        let stored = Stored { name: "fc.bias".into(), dtype, dims: vec![3], bytes };
        std::fs::write(&path, to_bytes(&[stored], &Default::default()).unwrap()).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.tensor("fc.bias").unwrap().data(), [0.5, -1.5, 2.0], "{dtype:?}");
    }
}
