//! The reader of CIFAR-10, and what it refuses.

use super::*;

/// `n` records with label `i % 10` and every byte of plane `c` equal to `i + c`.
pub(crate) fn records(n: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for i in 0..n {
        bytes.push((i % CLASSES) as u8);
        (0..CHANNELS).for_each(|c| bytes.extend([(i + c) as u8; PLANE]));
    }
    bytes
}

fn message(bytes: Vec<u8>) -> String {
    ImageSet::from_records("some.bin", bytes).unwrap_err().to_string()
}

#[test]
fn reads_several_files_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join(FOLDER);
    std::fs::create_dir(&folder).unwrap();
    let all = records(20);
    std::fs::write(folder.join("data_batch_1.bin"), &all[..12 * RECORD_BYTES]).unwrap();
    std::fs::write(folder.join("data_batch_2.bin"), &all[12 * RECORD_BYTES..]).unwrap();
    std::fs::write(folder.join("test_batch.bin"), records(3)).unwrap();
    for path in [dir.path(), &folder] {
        let set = Cifar10::open(path).unwrap();
        assert_eq!((set.train.len(), set.test.len()), (20, 3));
        for i in 0..20 {
            assert_eq!(set.train.label(i), i % 10);
            assert_eq!(set.train.image(i), &all[i * RECORD_BYTES + 1..][..IMAGE_BYTES]);
        }
        assert_eq!(set.train.class_counts(), [2; 10]);
    }
}

#[test]
fn wrong_lengths_say_how_many_bytes_are_expected() {
    assert!(message(vec![]).contains("is empty") && message(vec![]).contains("30730000"));
    let mut bytes = records(2);
    bytes.pop();
    let m = message(bytes.clone());
    assert!(m.contains("6145 bytes") && m.contains("need 6146") && m.contains("truncated"), "{m}");
    bytes.extend([0, 0]);
    let m = message(bytes);
    assert!(m.contains("6147 bytes") && m.contains("2 records need 6146"), "{m}");
    let m = message(vec![0; (RECORDS_PER_FILE + 1) * RECORD_BYTES]);
    assert!(m.contains("too many") && m.contains("at most 30730000"), "{m}");
}

#[test]
fn a_label_above_nine_names_file_record_and_value() {
    let mut bytes = records(5);
    bytes[3 * RECORD_BYTES] = 10;
    let m = message(bytes);
    assert!(m.contains("some.bin") && m.contains("record 3") && m.contains("label 10"), "{m}");
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let open = || Cifar10::open(dir.path()).unwrap_err().to_string();
    assert!(open().contains("no CIFAR-10 here"));
    std::fs::write(dir.path().join("data_batch_1.bin"), records(1)).unwrap();
    assert!(open().contains("test_batch.bin is missing"));
    std::fs::write(dir.path().join("test_batch.bin"), records(1)).unwrap();
    std::fs::write(dir.path().join("data_batch_3.bin"), records(1)).unwrap();
    assert!(open().contains("data_batch_2.bin is missing though data_batch_3.bin is there"));
    assert!(Cifar10::open("/nonexistent").unwrap_err().to_string().contains("does not exist"));
    // Measuring on the test images needs no others.
    std::fs::remove_file(dir.path().join("data_batch_1.bin")).unwrap();
    std::fs::remove_file(dir.path().join("data_batch_3.bin")).unwrap();
    assert!(open().contains("data_batch_1.bin is missing"));
    assert_eq!(Cifar10::open_test(dir.path()).unwrap().0.len(), 1);
    // A folder that may not be looked into is not taken for an empty one.
    let e = Cifar10::open(dir.path().join("test_batch.bin")).unwrap_err().to_string();
    assert!(e.contains("cannot look into"), "{e}");
}
