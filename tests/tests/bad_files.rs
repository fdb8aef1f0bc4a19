//! Every reader of files against thousands of broken ones, made from small valid files: cut off at every byte, every bit
//! of the head turned over, lengths made enormous, pieces left out, doubled and moved.
//!
//! A reader may find nothing wrong (a bit of a weight is as good as another) or refuse in one line that names the file.
//! It must not panic, take more memory than [`MEMORY`] allows, or longer than [`SECONDS`] for one file.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use models::data::augment::Normalization;
use models::data::cifar10::ImageSet;
use models::data::classes::Classes;
use models::data::image_set::RecordFormat;
use models::data::loader::Loader;
use models::data::synthetic::noise_images;
use models::data::{npy, picture};
use models::formats::open::{self, load_checkpoint};
use models::formats::qlz;
use models::{Checkpoint, Network, QuantizedNetwork, Shortcut};
use quant::{Policy, QuantConfig, Quantizer};
use tests::counting::{Counting, measure};

#[global_allocator]
static COUNTING: Counting = Counting;

/// What reading a file may allocate beyond twice its size.
const MEMORY: usize = 64 << 20;
/// The longest that a small file may take.
const SECONDS: Duration = Duration::from_secs(2);
/// The head of a file: every bit of it is turned over.
const HEAD: usize = 256;
/// Cuts beyond the head are made at this many places.
const CUTS: usize = 200;

/// A reader: what it says of a file, in one line, if it refuses it.
type Read = fn(&Path, &[u8]) -> Result<(), String>;

/// Text of an error.
fn text<T, E: ToString>(result: Result<T, E>) -> Result<(), String> {
    result.map(|_| ()).map_err(|e| e.to_string())
}

/// Broken files made of a valid one, each with a few words about it.
fn broken(valid: &[u8]) -> impl Iterator<Item = (String, Vec<u8>)> {
    let (n, head) = (valid.len(), valid.len().min(HEAD));
    let cuts = (0..head).chain((head..n).step_by((n - head).div_ceil(CUTS).max(1)));
    let cut = cuts.map(|at| (format!("cut at {at}"), valid[..at].to_vec()));
    let bits = (0..8 * head).map(|bit| {
        let mut bytes = valid.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        (format!("bit {bit} turned over"), bytes)
    });
    let long = (0..head.saturating_sub(8)).flat_map(|at| {
        [[0xff; 8], [0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0], *b"99999999"].map(|word| {
            let mut bytes = valid.to_vec();
            bytes[at..at + 8].copy_from_slice(&word);
            (format!("{word:?} at {at}"), bytes)
        })
    });
    let blocks = (0..n.min(2048)).step_by(7).flat_map(move |at| {
        let end = (at + 13).min(n);
        let without = [&valid[..at], &valid[end..]].concat();
        let doubled = [&valid[..end], &valid[at..]].concat();
        let moved = [&valid[end..], &valid[..end]].concat();
        [("left out", without), ("doubled", doubled), ("moved", moved)]
            .map(|(what, bytes)| (format!("{at}..{end} {what}"), bytes))
    });
    cut.chain(bits).chain(long).chain(blocks)
}

/// Of the broken forms those of this number: behind its checksum a coded file is decoded to its end, which takes a while.
fn every(name: &str) -> usize {
    if name.contains("anyway") { 8 } else { 1 }
}

/// Reads every broken form of `valid` in a file named `name`; returns how many there were and how many were refused.
fn attack(name: &str, valid: &[u8], read: Read) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let (mut tried, mut refused) = (0, 0);
    let try_one = |what: &str, bytes: &[u8]| -> Result<(), String> {
        std::fs::write(&path, bytes).unwrap();
        let start = Instant::now();
        let (result, allocated) = measure(|| read(&path, bytes));
        assert!(start.elapsed() < SECONDS, "{name}, {what}: took {:?}", start.elapsed());
        let most = 2 * bytes.len() + MEMORY;
        assert!(allocated.peak <= most, "{name}, {what}: took {} MiB", allocated.peak >> 20);
        if let Err(message) = &result {
            assert!(message.contains(name) && !message.contains('\n'), "{name}, {what}: {message:?}");
        }
        result
    };
    try_one("as it is", valid).unwrap_or_else(|e| panic!("{name} is valid: {e}"));
    for (what, bytes) in broken(valid).step_by(every(name)) {
        tried += 1;
        refused += usize::from(try_one(&what, &bytes).is_err());
    }
    // The first half can never be the whole.
    try_one("half", &valid[..valid.len() / 2]).expect_err(name);
    (tried, refused)
}

fn network() -> (Network, Loader) {
    let network = Network::fresh(8, Shortcut::A, Normalization::TRUE, 3).unwrap();
    let set = noise_images(8, 4, &Normalization::TRUE, 1).unwrap();
    let loader = Loader::evaluation(&set, 8, network.normalization);
    (network, loader)
}

fn quantized(policy: Policy) -> QuantizedNetwork {
    let (network, loader) = network();
    let config = QuantConfig { bits: "W2A4".parse().unwrap(), policy, ..QuantConfig::default() };
    let images = loader.epoch(0);
    QuantizedNetwork::calibrate(&network, &Quantizer::new(config), images).unwrap()
}

/// Two small tensors.
fn state_dict() -> Checkpoint {
    let tensor = |n: usize| engine::Tensor::from_fn([n], |i| i as f32 / 8.0);
    let tensors = vec![("fc.weight".into(), tensor(20)), ("fc.bias".into(), tensor(2))];
    Checkpoint { tensors, ..Default::default() }
}

fn saved(write: impl FnOnce(&Path)) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.safetensors");
    write(&path);
    std::fs::read(path).unwrap()
}

/// A picture that is one colour but for a diagonal.
fn pixels(side: usize) -> Vec<u8> {
    (0..side * side).flat_map(|i| [if i % (side + 1) == 0 { 250 } else { 9 }, 40, (i % 251) as u8]).collect()
}

/// All of them in one test: the counters of memory are the process's.
#[test]
fn no_broken_file_does_harm() {
    let fixture = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/data").join(name);
        std::fs::read(path).unwrap()
    };
    let read_checkpoint: Read = |path, _| text(load_checkpoint(path));
    let read_cifar: Read = |path, _| text(ImageSet::open(&[path.to_owned()]));
    let read_cifar100: Read =
        |path, _| text(ImageSet::open_as(&[path.to_owned()], RecordFormat::CIFAR100, Classes::numbered(100)));
    let read_npy: Read = |path, _| text(npy::read(path));
    let read_picture: Read = |path, _| text(picture::read(path));
    let read_integers: Read = |path, _| text(open::load_integers(path));

    let cifar: Vec<u8> = (0..3 * 3073).map(|i| if i % 3073 == 0 { 3 } else { (i % 255) as u8 }).collect();
    let cifar100: Vec<u8> = (0..3 * 3074).map(|i| if i % 3074 < 2 { 99 } else { (i % 255) as u8 }).collect();
    let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 4), }";
    let mut npy = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    writeln!(npy, "{header:<117}").unwrap();
    npy.extend((0..24).flat_map(|i| (i as f32).to_le_bytes()));
    let mut ppm = b"P6\n# a picture\n32 32\n255\n".to_vec();
    ppm.extend(pixels(32));
    let mut plain = String::from("P3 32 32 255\n");
    pixels(32).iter().for_each(|v| plain.push_str(&format!("{v} ")));
    let product = quantized(Policy::Product);
    let integers = product.model_bytes(&[]).unwrap();
    let packed = quantized(Policy::Course).model_bytes(&[]).unwrap();

    // Once as it is, which the checksum guards, and once with a checksum that belongs to the damage.
    let read_anyway: Read = |path, bytes| {
        let mut bytes = bytes.to_vec();
        if bytes.len() >= 8 {
            let sum = crc32fast::hash(&bytes[8..]);
            bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        }
        std::fs::write(path, bytes).map_err(|e| e.to_string())?;
        text(open::open(path, None, None))
    };
    let read_model: Read = |path, _| text(open::open(path, None, None));
    let coded = qlz::of_network(&quantized(Policy::Course), &BTreeMap::new()).unwrap().0;
    let coded_integers = qlz::of_network(&product, &BTreeMap::new()).unwrap().0;

    let cases: Vec<(&str, Vec<u8>, Read)> = vec![
        ("coded.qlz", coded.clone(), read_model),
        ("coded_anyway.qlz", coded, read_anyway),
        ("coded_integers.qlz", coded_integers.clone(), read_model),
        ("coded_integers_anyway.qlz", coded_integers, read_anyway),
        ("batch.bin", cifar, read_cifar),
        ("train.bin", cifar100, read_cifar100),
        ("x.npy", npy, read_npy),
        ("x.ppm", ppm, read_picture),
        ("plain.ppm", plain.into_bytes(), read_picture),
        ("x.png", png(), read_picture),
        ("x.jpg", jpeg(), read_picture),
        ("w.safetensors", saved(|path| state_dict().write(path).unwrap()), read_checkpoint),
        ("packed.safetensors", packed, read_checkpoint),
        ("zip.pt", fixture("tiny.pt"), read_checkpoint),
        ("legacy.pt", fixture("tiny_legacy.pt"), read_checkpoint),
        ("protocol1.pt", fixture("tiny_protocol1.pt"), read_checkpoint),
        ("two_networks.pt", fixture("tiny_beside.pt"), read_checkpoint),
        ("integers.safetensors", integers, read_integers),
    ];
    for (name, valid, read) in cases {
        let start = Instant::now();
        let (tried, refused) = attack(name, &valid, read);
        eprintln!(
            "{name}: {} bytes, {tried} broken files, {refused} refused, {:?}",
            valid.len(),
            start.elapsed()
        );
        assert!(refused >= 200 / every(name), "{name}: only {refused} of {tried} broken files were refused");
    }
}

fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(Cursor::new(&mut bytes), 32, 32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels(32)).unwrap();
    bytes
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = jpeg_encoder::Encoder::new(&mut bytes, 90);
    encoder.encode(&pixels(32), 32, 32, jpeg_encoder::ColorType::Rgb).unwrap();
    bytes
}
