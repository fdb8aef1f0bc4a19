//! Import of PyTorch files: both formats, what is refused, and that no input whatever causes a panic.

use std::{
    io::{Cursor, Write},
    path::{Path, PathBuf},
};

use models::{Checkpoint, Error, formats::torch_file};
use proptest::prelude::*;

const TINY: [&[u8]; 3] = [
    include_bytes!("data/tiny.pt"),
    include_bytes!("data/tiny_protocol4.pt"),
    include_bytes!("data/tiny_legacy.pt"),
];

fn read(bytes: &[u8]) -> Result<Checkpoint, Error> {
    torch_file::read_bytes(Path::new("some.pt"), bytes, None)
}

fn message(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

/// A pickle in a zip archive as PyTorch's.
fn zip_of(pickle: &[u8]) -> Vec<u8> {
    let options = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    zip.start_file("archive/data/0", options).unwrap();
    zip.write_all(&[0; 16]).unwrap();
    zip.finish().unwrap().into_inner()
}

/// A state dictionary of one float tensor over storage `0` of `len` numbers, protocol 2.
fn one_tensor(len: u8, offset: u8, size: &[u8], stride: &[u8]) -> Vec<u8> {
    let mut p =
        b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\n"
            .to_vec();
    p.extend(b"X\x01\0\0\x000X\x03\0\0\0cpuK");
    p.extend([len, b't', b'Q', b'K', offset]);
    for values in [size, stride] {
        p.push(b'(');
        values.iter().for_each(|&v| p.extend([b'K', v]));
        p.push(b't');
    }
    p.extend(b"\x89}tRs.");
    p
}

#[test]
fn a_dictionary_under_two_keys_is_found_under_both() {
    let text = |name: &str| [&b"X"[..], &(name.len() as u32).to_le_bytes(), name.as_bytes()].concat();
    let tensor = |rank: usize| {
        let pickle = one_tensor(4, 0, &vec![1; rank], &vec![1; rank]);
        pickle[9..pickle.len() - 2].to_vec() // behind the dictionary and its key, before the entry is set
    };
    let weights = [
        b"}q\0".to_vec(),
        text("conv1.weight"),
        tensor(4),
        b"s".to_vec(),
        text("fc.weight"),
        tensor(2),
        b"s".to_vec(),
    ];
    let [model, ema] = ["model", "ema"].map(text);
    let file = [b"\x80\x02}".to_vec(), model, weights.concat(), b"s".to_vec(), ema, b"h\0s.".to_vec()];
    let file = zip_of(&file.concat());
    let read = |key| torch_file::read_bytes(Path::new("two.pt"), &file, key);
    for key in [None, Some("model"), Some("ema")] {
        assert_eq!(read(key).unwrap().tensors.len(), 2, "{key:?}");
    }
    let message = read(Some("net")).unwrap_err().to_string();
    assert!(message.contains("there are weights under: ema, model"), "{message}");
}

#[test]
fn all_formats_give_the_same_tensors() {
    for bytes in TINY {
        let checkpoint = read(bytes).unwrap();
        let names: Vec<&str> = checkpoint.tensors.iter().map(|(n, _)| n.as_str()).collect();
        assert_eq!(names, ["conv1.weight", "fc.weight", "fc.bias", "bn1.weight", "bn1.bias"]);
        let data = |name| checkpoint.tensor(name).unwrap().data().to_vec();
        // on disk [2, 3, 2, 1] = 0/8, 1/8, ...; here channels come last
        assert_eq!(checkpoint.tensor("conv1.weight").unwrap().dims(), [2, 2, 1, 3]);
        assert_eq!(data("conv1.weight")[..6], [0.0, 0.25, 0.5, 0.125, 0.375, 0.625]);
        // column-major from number 12 on
        let transposed: Vec<f32> = (0..12).map(|i| (12 + i / 4 + 3 * (i % 4)) as f32 / 8.0).collect();
        assert_eq!(data("fc.weight"), transposed);
        assert_eq!(data("fc.bias"), [0.5, -1.5, 2.0]);
        assert_eq!(data("bn1.weight"), [1.5, -3.0]);
        assert_eq!(data("bn1.bias"), [0.1, 0.25]);
    }
}

#[test]
fn a_published_file_imports_equal_to_its_conversion() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/pretrained"));
    if !folder.exists() {
        eprintln!("SKIPPED: no pretrained checkpoints at {}", folder.display());
        return;
    }
    let torch = torch_file::read(folder.join("resnet20_option_a_91.73.th"), None).unwrap();
    let safe = Checkpoint::read(folder.join("resnet20_option_a_91.73.safetensors")).unwrap();
    assert!(torch.tensors.len() == 97 && safe.tensors.len() == 97);
    for (name, tensor) in &torch.tensors {
        assert_eq!(safe.tensor(name), Some(tensor), "{name}");
    }
}

#[test]
fn a_pickle_that_would_run_a_command_is_refused() {
    let programs: [&[u8]; 4] = [
        b"cos\nsystem\n(S'echo hello'\ntR.",                       // protocol 0
        b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.",          // protocol 2
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.", // protocol 4
        b"(S'echo hello'\nios\nsystem\n.",                         // INST
    ];
    for program in programs {
        for bytes in [zip_of(program), program.to_vec()] {
            let error = read(&bytes).unwrap_err();
            assert!(matches!(error, Error::Refused { .. }), "{error}");
            let m = error.to_string();
            assert!(m.contains("refuses to execute `") && m.contains("system`"), "{m}");
        }
    }
    for (module, name) in [
        ("builtins", "eval"),
        ("torch", "load"),
        ("collections", "Counter"),
        ("numpy", "load"),
        ("torch._utils", "x"),
    ] {
        let m = message(&zip_of(format!("c{module}\n{name}\n.").as_bytes()));
        assert!(m.contains(&format!("refuses to execute `{module}.{name}`")), "{m}");
    }
    assert!(message(&zip_of(b"\x80\x02\x82\x01.")).contains("extension registry"));
}

#[test]
fn truncated_files_are_errors_at_every_length() {
    for bytes in TINY {
        for len in 0..bytes.len() {
            assert!(read(&bytes[..len]).is_err(), "{len} of {}", bytes.len());
        }
    }
    assert!(message(&TINY[0][..500]).contains("truncated?"));
    assert!(message(&TINY[2][..TINY[2].len() - 1]).contains("truncated?"));
    assert!(message(b"").contains("not a complete PyTorch file"));
}

#[test]
fn tensors_outside_their_storage_are_errors() {
    assert_eq!(read(&zip_of(&one_tensor(4, 0, &[2, 2], &[2, 1]))).unwrap().tensors[0].1.data(), [0.0; 4]);
    for bad in [
        one_tensor(4, 1, &[2, 2], &[2, 1]),
        one_tensor(4, 0, &[2, 2], &[3, 1]),
        one_tensor(3, 0, &[4], &[1]), // the storage says 3
        one_tensor(9, 0, &[5], &[1]), // the file holds 4
    ] {
        assert!(message(&zip_of(&bad)).contains("outside its storage"), "{}", message(&zip_of(&bad)));
    }
    assert!(message(&zip_of(&one_tensor(4, 0, &[1; 5], &[1; 5]))).contains("5 dimensions"));
    let bomb = one_tensor(1, 0, &[255; 4], &[0; 4]); // 4 billion numbers out of one
    assert!(message(&zip_of(&bomb)).contains("more than 67108864 numbers"));
    assert!(message(&zip_of(&one_tensor(4, 0, &[4], &[1, 1]))).contains("unequal numbers"));
}

#[test]
fn other_objects_say_what_is_expected() {
    assert!(message(&zip_of(b"\x80\x02].")).contains("holds no dictionary"));
    let m = message(&zip_of(b"\x80\x02}X\x05\0\0\0epochK\x03s."));
    assert!(m.contains("only the keys [epoch]"), "{m}");
    let m = message(&zip_of(b"\x80\x02}X\x0a\0\0\0state_dict}X\x01\0\0\0wK\x03ss."));
    assert!(m.contains("`w` of the state_dict is not a tensor"), "{m}");
    assert!(message(b"\x80\x02K\x01.").contains("not one of torch.save"));
}

#[test]
fn a_file_cannot_ask_for_memory_by_the_square_of_its_length() {
    let mut pickle = b"\x80\x02(".to_vec();
    pickle.extend(std::iter::repeat_n(b'N', 100_000));
    pickle.extend(b"tq\0\x85q\x01"); // a tuple of 100,000 in a tuple of arguments
    (0..20_000).for_each(|_| pickle.extend(b"ctorch\nSize\nh\x01R"));
    assert!(message(&zip_of(&pickle)).contains("more copies"));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
        let _ = read(&zip_of(&bytes));
    }

    #[test]
    fn random_instructions_never_panic(
        ops in prop::collection::vec(prop::sample::select(
            b"\x80\x95.(012qr\x94hjN\x88\x89KMJ\x8aGXUTCBS)]}tl\x91\x85\x86\x87daesuc\x93iR\x81bQ\x82\x8c\x8d\x8e\x8f\x90\x00\x01\n".to_vec()
        ), 0..300),
    ) {
        let mut pickle = b"\x80\x02ccollections\nOrderedDict\nq\0ctorch._utils\n_rebuild_tensor_v2\nq\x01".to_vec();
        pickle.extend(ops);
        let _ = read(&zip_of(&pickle));
    }

    #[test]
    fn mutated_files_never_panic(
        which in 0usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut bytes = TINY[which].to_vec();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let _ = read(&bytes);
    }

    #[test]
    fn mutated_pickles_in_a_valid_archive_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut pickle = one_tensor(4, 0, &[2, 2], &[2, 1]);
        for (place, value) in changes {
            let place = place.index(pickle.len());
            pickle[place] = value;
        }
        let _ = read(&zip_of(&pickle));
    }
}
