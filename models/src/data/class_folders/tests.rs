//! Folders of pictures, and what is refused about them.

use std::fs;

use super::*;
use crate::data::data_set::{DataSet, Kind};

/// A grey map of one pixel of this brightness.
fn picture(path: &Path, brightness: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, [b"P5 1 1 255\n".as_slice(), &[brightness]].concat()).unwrap();
}

/// `count` pictures `0.pgm`, `1.pgm`, ... whose brightness is `first` and more.
fn class(folder: &Path, count: u8, first: u8) {
    (0..count).for_each(|i| picture(&folder.join(format!("{i}.pgm")), first + i));
}

fn refused(folder: &Path) -> String {
    DataSet::open(folder, &mut |_, _| ()).map(|_| ()).unwrap_err().to_string()
}

/// Labels and brightnesses, in order.
fn contents(set: &ImageSet) -> Vec<(usize, u8)> {
    (0..set.len()).map(|i| (set.label(i), set.image(i)[0])).collect()
}

#[test]
fn every_picture_is_in_one_part_and_each_class_in_all() {
    let dir = tempfile::tempdir().unwrap();
    class(&dir.path().join("dog"), 10, 100);
    class(&dir.path().join("cat"), 20, 0);
    fs::write(dir.path().join("notes.txt"), "beside them").unwrap();
    fs::write(dir.path().join("cat/.hidden"), "as systems do").unwrap();
    let mut reports = Vec::new();
    let set = DataSet::open(dir.path(), &mut |done, of| reports.push((done, of))).unwrap();
    assert_eq!(reports, [(24, 24), (6, 6)]);
    assert_eq!((set.kind, set.classes().names()), (Kind::ClassFolders, &["cat".into(), "dog".into()][..]));
    assert_eq!(set.train.class_counts(), [16, 8]);
    assert_eq!(set.test.class_counts(), [4, 2]);
    let mut all = [contents(&set.train), contents(&set.test)].concat();
    let first: Vec<usize> = all.iter().take(12).map(|(label, _)| *label).collect();
    assert!(first.contains(&0) && first.contains(&1), "the first images are of all classes: {first:?}");
    all.sort_unstable();
    let expected = (0..20).map(|b| (0, b)).chain((100..110).map(|b| (1, b)));
    assert_eq!(all, expected.collect::<Vec<_>>());
    // The same again; a part by itself is what it is in the whole; another seed divides otherwise.
    let test = |folder: &Path| DataSet::open_part(folder, Part::Test, &mut |_, _| ()).unwrap().0;
    assert_eq!(contents(&test(dir.path())), contents(&set.test));
    let split = dir.path().join("split.json");
    fs::write(&split, r#"{"test": 0.5, "val": 0.1, "seed": 2}"#).unwrap();
    let other = ClassFolders::find(dir.path()).unwrap();
    let counts = |part| other.read(part, &mut |_, _| ()).unwrap().class_counts();
    assert_eq!([Part::Train, Part::Val, Part::Test].map(counts), [[8, 4], [2, 1], [10, 5]]);
    fs::write(&split, r#"{"seed": 2}"#).unwrap();
    assert_ne!(contents(&test(dir.path())), contents(&set.test));
    for (text, why) in [("{", "not like"), (r#"{"tests": 0.1}"#, "not like"), (r#"{"test": 1.0}"#, "below 1")]
    {
        fs::write(&split, text).unwrap();
        let m = refused(dir.path());
        assert!(m.contains("split.json") && m.contains(why), "{m}");
    }
}

#[test]
fn pictures_that_are_divided_already() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    for (part, first) in [("train", 0), ("val", 10)] {
        class(&at(part).join("a"), 3, first);
        class(&at(part).join("b"), 2, first + 100);
    }
    // Two parts: val is what is measured on.
    let set = DataSet::open(dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!((set.train.class_counts(), set.test.class_counts()), (vec![3, 2], vec![3, 2]));
    assert!(contents(&set.test).contains(&(0, 10)));
    let val = || DataSet::open_part(dir.path(), Part::Val, &mut |_, _| ());
    assert!(val().unwrap_err().to_string().contains("no validation images"));
    class(&at("test/a"), 1, 20);
    class(&at("test/bb"), 1, 20);
    assert!(refused(dir.path()).contains("`bb` is in one of them only"));
    fs::remove_dir_all(at("test/bb")).unwrap();
    class(&at("test/b"), 1, 120);
    assert_eq!(contents(&val().unwrap().0).len(), 5);
    class(&at("c"), 2, 7);
    assert!(refused(dir.path()).contains("a folder c beside train"));
    fs::remove_dir_all(at("c")).unwrap();
    fs::write(at("split.json"), "{}").unwrap();
    assert!(refused(dir.path()).contains("split.json: is of no use"));
    fs::remove_file(at("split.json")).unwrap();
    for part in ["test", "val"] {
        fs::remove_dir_all(at(part)).unwrap();
    }
    assert!(refused(dir.path()).contains("neither test nor val"));
    // Trains can be a class too.
    let traffic = tempfile::tempdir().unwrap();
    class(&traffic.path().join("train"), 5, 0);
    class(&traffic.path().join("tram"), 5, 0);
    let set = DataSet::open(traffic.path(), &mut |_, _| ()).unwrap();
    assert_eq!(set.classes().names(), ["train", "tram"]);
}

#[test]
fn what_is_no_folder_of_classes_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    assert!(refused(&at("absent")).contains("does not exist"));
    assert!(refused(dir.path()).contains("no data set here: expected CIFAR-10"));
    fs::write(at("readme.txt"), "x").unwrap();
    assert!(refused(&at("readme.txt")).contains("is a file"));
    picture(&at("loose.pgm"), 1);
    assert!(refused(dir.path()).contains("loose.pgm: is a picture outside the class folders"));
    fs::remove_file(at("loose.pgm")).unwrap();
    class(&at("a"), 5, 0);
    assert!(refused(dir.path()).contains("one class only, `a`"));
    fs::create_dir(at("b")).unwrap();
    assert!(refused(dir.path()).contains("b: holds no pictures"));
    class(&at("b"), 1, 0);
    assert!(refused(dir.path()).contains("b: holds 1 pictures; 1 for testing"));
    class(&at("b"), 5, 0);
    assert!(DataSet::open(dir.path(), &mut |_, _| ()).is_ok());
    fs::write(at("b/list.csv"), "x,y").unwrap();
    assert!(refused(dir.path()).contains("list.csv: is not a PNG, JPEG or PPM picture"));
    fs::remove_file(at("b/list.csv")).unwrap();
    fs::create_dir(at("b/more")).unwrap();
    assert!(refused(dir.path()).contains("more: is a folder inside a class folder"));
    fs::remove_dir(at("b/more")).unwrap();
    fs::write(at("b/0.pgm"), b"P5 9 9 255\n123").unwrap();
    let m = refused(dir.path());
    assert!(m.contains("0.pgm: not a complete PNM picture") && !m.contains('\n'), "{m}");
}

#[test]
fn a_hundred_classes_in_records() {
    let dir = tempfile::tempdir().unwrap();
    let inner = dir.path().join("cifar-100-binary");
    fs::create_dir(&inner).unwrap();
    let records = |count: u8| -> Vec<u8> {
        let record = |i: u8| [vec![i % 20, i % 100], vec![i; 3072]].concat();
        (0..count).flat_map(record).collect()
    };
    fs::write(inner.join("train.bin"), records(200)).unwrap();
    assert!(refused(dir.path()).contains("fine_label_names.txt"));
    let names: String = (0..100).map(|i| format!("name {i}\n")).collect();
    fs::write(inner.join("fine_label_names.txt"), &names).unwrap();
    assert!(refused(dir.path()).contains("test.bin is missing"));
    fs::write(inner.join("test.bin"), records(100)).unwrap();
    let set = DataSet::open(dir.path(), &mut |_, _| ()).unwrap();
    assert_eq!((set.kind, set.folder.as_path()), (Kind::Cifar100, inner.as_path()));
    assert_eq!((set.train.len(), set.train.class_counts()), (200, vec![2; 100]));
    assert_eq!((set.test.label(99), set.test.image(99).len(), set.test.image(99)[0]), (99, 3072, 99));
    assert_eq!(set.classes().name(42), "name 42");
    let mean = set.normalization(100..200).mean[0];
    assert!((mean - 149.5 / 255.0).abs() < 1e-6, "{mean}");
    let mut bad = records(3);
    bad[3074 + 1] = 100;
    fs::write(inner.join("test.bin"), bad).unwrap();
    let m = refused(dir.path());
    assert!(m.contains("test.bin: record 1 has label 100, labels are 0..=99; is this CIFAR-100"), "{m}");
    fs::write(inner.join("test.bin"), vec![0; 3073]).unwrap();
    assert!(refused(dir.path()).contains("3073 bytes are not whole records of 3074"));
    fs::write(inner.join("fine_label_names.txt"), "apple\n").unwrap();
    assert!(refused(dir.path()).contains("1 names; CIFAR-100 has 100"));
    fs::write(inner.join("fine_label_names.txt"), names).unwrap();
    fs::write(dir.path().join("data_batch_1.bin"), vec![0; 3073]).unwrap();
    assert!(refused(dir.path()).contains("CIFAR-10") && refused(dir.path()).contains("and CIFAR-100"));
}
