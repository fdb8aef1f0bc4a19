//! The slice of CIFAR-10 that is shipped: counts, balance, checksums, and that it is what its README says.

use std::{fs, path::PathBuf};

use models::{assets, data::cifar10::Cifar10, data::slice};
use sha2::{Digest, Sha256};

#[test]
fn counts_and_balance() {
    let set = Cifar10::open(assets::cifar10_slice()).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (2000, 1000));
    assert_eq!(set.train.class_counts(), [200; 10]);
    assert_eq!(set.test.class_counts(), [100; 10]);
}

#[test]
fn no_image_occurs_twice() {
    let set = Cifar10::open(assets::cifar10_slice()).unwrap();
    let mut images: Vec<&[u8]> = (0..2000).map(|i| set.train.image(i)).collect();
    images.extend((0..1000).map(|i| set.test.image(i)));
    images.sort_unstable();
    assert!(images.windows(2).all(|pair| pair[0] != pair[1]));
}

#[test]
fn checksums_and_size() {
    let folder = assets::cifar10_slice();
    let (sums, readme) = (
        fs::read_to_string(folder.join("SHA256SUMS")).unwrap(),
        fs::read_to_string(folder.join("README.md")).unwrap(),
    );
    let mut total = 0;
    assert_eq!(sums.lines().count(), 3);
    for line in sums.lines() {
        let (expected, name) = line.split_once("  ").unwrap();
        let bytes = fs::read(folder.join(name)).unwrap();
        let sum: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(sum, expected, "{name}");
        assert!(readme.contains(line), "the README has another checksum for {name}");
        total += bytes.len();
    }
    assert!(total <= 10_000_000, "{total} bytes");
}

#[test]
fn it_is_what_the_rule_chooses_from_the_full_set() {
    let full = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data/cifar-10-batches-bin"));
    if !full.exists() {
        eprintln!("SKIPPED: no full CIFAR-10 at {}", full.display());
        return;
    }
    let source = Cifar10::open(&full).unwrap();
    let excluded = slice::Exclusions::read(full.join("not_lossless.json")).unwrap();
    assert_eq!((excluded.train.len(), excluded.test.len()), (73, 20));
    let dir = tempfile::tempdir().unwrap();
    slice::write(&source, dir.path(), 200, 100, &excluded).unwrap();
    for name in ["data_batch_1.bin", "test_batch.bin", "batches.meta.txt"] {
        let shipped = fs::read(assets::cifar10_slice().join(name)).unwrap();
        assert!(fs::read(dir.path().join(name)).unwrap() == shipped, "{name} differs");
    }
}

#[test]
fn the_full_set_opens() {
    let full = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/data"));
    if !full.exists() {
        eprintln!("SKIPPED: no full CIFAR-10 at {}", full.display());
        return;
    }
    let set = Cifar10::open(&full).unwrap();
    assert_eq!((set.train.len(), set.test.len()), (50_000, 10_000));
    assert_eq!(set.train.class_counts(), [5000; 10]);
    assert_eq!(set.test.class_counts(), [1000; 10]);
}
