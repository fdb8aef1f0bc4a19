//! Readers of files: whatever the bytes, they return, and an error is one line.

use std::cell::RefCell;
use std::path::Path;

use models::data::augment::Normalization;
use models::data::cifar10::ImageSet;
use models::data::{npy as npy_file, picture as picture_file};
use models::formats::{open, pickle as machine, torch_file};
use models::{Checkpoint, Network, QuantizedNetwork, Shortcut};

use super::one_line;

thread_local! {
    static FOLDER: RefCell<Option<tempfile::TempDir>> = const { RefCell::new(None) };
}

/// The bytes in a file, for readers that map it.
fn in_file<T>(bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with_borrow_mut(|folder| {
        let folder = folder.get_or_insert_with(|| tempfile::tempdir().expect("a folder for a small file"));
        let path = folder.path().join("file");
        std::fs::write(&path, bytes).expect("a small file");
        read(&path)
    })
}

/// Bytes as they are; or, behind a first byte of `0xff`, as the header and the data of a safetensors file: its length is
/// put before it, so that what is behind the header is looked at.
pub(super) fn framed(bytes: &[u8]) -> Vec<u8> {
    match bytes.strip_prefix(&[0xff]) {
        Some(rest) => {
            let header = rest.iter().position(|b| *b == 0).unwrap_or(rest.len());
            [&(header as u64).to_le_bytes(), rest].concat()
        }
        None => bytes.to_vec(),
    }
}

pub(super) fn cifar(bytes: &[u8]) {
    if let Some(set) = one_line(ImageSet::from_records("records", bytes.to_vec())) {
        assert_eq!(set.len() * 3073, bytes.len());
        assert_eq!(set.class_counts().iter().sum::<usize>(), set.len());
        assert!(set.labels().all(|label| label < 10));
        assert!((0..set.len()).all(|i| set.image(i).len() == 3072));
    }
}

pub(super) fn checkpoint(bytes: &[u8]) {
    in_file(&framed(bytes), |path| _ = one_line(open::open(path, None, None)));
}

/// The stream of a coded file, behind a head with the checksum that it should have.
pub(super) fn coded(stream: &[u8]) {
    let head = [b"QLZ\x01", &crc32fast::hash(stream).to_le_bytes()[..]].concat();
    in_file(&[&head, stream].concat(), |path| _ = one_line(open::open(path, None, None)));
}

pub(super) fn torch(bytes: &[u8]) {
    if let Some(checkpoint) = one_line(torch_file::read_bytes(Path::new("file.pt"), bytes, None)) {
        finite(&checkpoint);
    }
}

/// The stack machine itself, which zip's checksums keep the fuzzer from.
pub(super) fn pickle(bytes: &[u8]) {
    if let Ok((heap, value, taken)) = machine::read(bytes) {
        assert!(taken <= bytes.len());
        // Every object was paid for by a byte.
        assert!(heap.objects().count() <= 16 + bytes.len(), "{} objects", heap.objects().count());
        let _ = (heap.dict(value), heap.text(value), heap.sequence(value));
    }
}

pub(super) fn npy(bytes: &[u8]) {
    if let Some(samples) = one_line(npy_file::read_bytes(Path::new("x.npy"), bytes)) {
        assert!(samples.data().iter().all(|x| x.is_finite()) && samples.len() <= bytes.len());
    }
}

pub(super) fn picture(bytes: &[u8]) {
    if let Some(picture) = in_file(bytes, |path| one_line(picture_file::read(path))) {
        assert_eq!(picture.pixels.len(), 32 * 32 * 3);
        assert!(picture.width > 0 && picture.width <= picture_file::MAX_SIDE);
        assert!(picture.width * picture.height <= picture_file::MAX_PIXELS);
    }
}

/// The settings of a run, of the verb that the first byte chooses.
#[cfg(feature = "cli")]
pub(super) fn config(bytes: &[u8]) {
    let Some((&verb, text)) = bytes.split_first() else { return };
    let verb = cli::CONFIGURED[usize::from(verb) % cli::CONFIGURED.len()];
    in_file(text, |path| _ = one_line(cli::check_config(verb, path)));
}

#[cfg(not(feature = "cli"))]
pub(super) fn config(_: &[u8]) {}

/// The JSON in a checkpoint's metadata that says how a network is quantized.
pub(super) fn metadata(bytes: &[u8]) {
    thread_local! {
        static PLAIN: Checkpoint = {
            let network = Network::fresh(8, Shortcut::A, Normalization::TRUE, 3).expect("a ResNet");
            network.checkpoint(&network.params)
        };
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    PLAIN.with(|plain| {
        let mut checkpoint = plain.clone();
        checkpoint.set(models::nets::quantized::KEY, text);
        let Some(Some(quantized)) = one_line(QuantizedNetwork::from_checkpoint(&checkpoint, None)) else {
            return;
        };
        if let Some(graph) = one_line(quantized.lower()) {
            assert_eq!(graph.image(), [32, 32, 3]);
        }
    });
}

fn finite(checkpoint: &Checkpoint) {
    assert!(checkpoint.tensors.iter().all(|(_, tensor)| tensor.data().iter().all(|x| x.is_finite())));
}
