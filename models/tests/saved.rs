//! Files that PyTorch itself saved (`data/make_saved.py`): the same small network each time, with something beside,
//! before or in place of its weights.

use std::io::{Cursor, Read, Write};
use std::path::Path;

use models::{Checkpoint, Error, formats::torch_file};

macro_rules! saved {
    ($name:literal) => {
        include_bytes!(concat!("data/", $name, ".pt"))
    };
}

fn read(bytes: &[u8], key: Option<&str>) -> Result<Checkpoint, Error> {
    torch_file::read_bytes(Path::new("some.pt"), bytes, key)
}

/// Asserts that the network of `make_saved.py` was read, each number times `sign`.
fn expect(checkpoint: &Checkpoint, sign: f32) {
    let names: Vec<&str> = checkpoint.tensors.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["conv1.weight", "fc.weight", "fc.bias"]);
    let data = |name: &str| checkpoint.tensor(name).unwrap().data().to_vec();
    assert_eq!(data("fc.weight"), [-2.0, -1.0, 0.0, 1.0, 2.0, 3.0].map(|v| sign * v));
    assert_eq!(data("fc.bias"), [0.5, -1.5, 2.0].map(|v| sign * v));
    assert_eq!(data("conv1.weight")[..3], [0.0, 0.25, 0.5].map(|v| sign * v));
}

#[test]
fn the_negative_bit_is_honoured() {
    expect(&read(saved!("tiny_negative_bit"), None).unwrap(), 1.0);
}

#[test]
fn weights_are_found_under_any_key() {
    let checkpoint = read(saved!("tiny_under_params"), None).unwrap();
    expect(&checkpoint, 1.0);
    assert!(checkpoint.notes.is_empty());
}

#[test]
fn of_two_networks_the_key_chooses_one() {
    let message = read(saved!("tiny_two_networks"), None).unwrap_err().to_string();
    assert!(message.contains("--weights-key: ema.0.shadow, model.module"), "{message}");
    let plain = read(saved!("tiny_two_networks"), Some("model")).unwrap();
    expect(&plain, 1.0);
    assert_eq!(plain.notes, ["the prefix `module.` of all names is stripped"]);
    for key in ["ema", "shadow", "ema.0.shadow"] {
        expect(&read(saved!("tiny_two_networks"), Some(key)).unwrap(), -1.0);
    }
    assert!(read(saved!("tiny_two_networks"), Some("optimizer")).is_err());
}

#[test]
fn objects_beside_the_weights_do_no_harm() {
    expect(&read(saved!("tiny_beside"), None).unwrap(), 1.0);
}

#[test]
fn an_object_in_place_of_a_weight_is_refused_by_name() {
    let error = read(saved!("tiny_weight_is_inert"), None).unwrap_err();
    assert!(matches!(&error, Error::Refused { global, .. } if global == "argparse.Namespace"), "{error}");
}

#[test]
fn old_protocols_are_read_or_named() {
    expect(&read(saved!("tiny_protocol1"), None).unwrap(), 1.0);
    expect(&read(saved!("tiny_protocol1_legacy"), None).unwrap(), 1.0);
    let message = read(saved!("tiny_protocol0"), None).unwrap_err().to_string();
    assert!(message.contains("pickle protocol 0 is not read; save again with torch.save"), "{message}");
}

#[test]
fn whole_numbers_are_refused_but_counters_are_not_looked_at() {
    let message = read(saved!("tiny_int8"), None).unwrap_err().to_string();
    assert!(message.contains("tensor `fc.weight` holds whole numbers (I8)"), "{message}");
}

#[test]
fn every_shorter_file_and_every_flipped_bit_is_an_error_or_a_network() {
    for bytes in [saved!("tiny_beside").as_slice(), saved!("tiny_protocol1_legacy")] {
        (0..bytes.len()).for_each(|len| _ = read(&bytes[..len], None));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&changed, None);
        }
    }
}

#[test]
fn metadata_that_is_not_understood_is_refused() {
    // The negative bit under another name: a bit that some later version may invent. Archived anew, for its checksum.
    let mut archive = zip::ZipArchive::new(Cursor::new(saved!("tiny_negative_bit"))).unwrap();
    let mut changed = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        if entry.name().ends_with("data.pkl") {
            let place = bytes.windows(3).position(|three| three == b"neg").unwrap();
            bytes[place] = b'b';
        }
        let stored =
            zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        changed.start_file(entry.name(), stored).unwrap();
        changed.write_all(&bytes).unwrap();
    }
    let bytes = changed.finish().unwrap().into_inner();
    let message = read(&bytes, None).unwrap_err().to_string();
    assert!(message.contains("tensor metadata other than the negative and the conjugate bit"), "{message}");
}
