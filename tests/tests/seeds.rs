//! Every seed of the fuzzer, those among them that once found something, and random bytes beside: see [`tests::fuzzed`].

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use engine::rng::{Purpose, Rng};
use tests::fuzzed::{COMPUTED, TARGETS, run};

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

#[test]
fn every_seed_does_no_harm() {
    for (name, _) in TARGETS {
        let mut files: Vec<_> =
            fs::read_dir(folder("seeds").join(name)).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has no seeds");
        for file in &files {
            eprintln!("{}", file.display()); // shown if it panics
            run(name, &fs::read(file).unwrap());
        }
    }
}

/// About half of them break a rule of the integer network, which has to be said in one line; the others are computed.
/// `NETWORKS=1500` in the environment takes more than the usual 150 of each kind.
#[test]
fn networks_that_random_bytes_choose_are_computed_alike() {
    let cases = std::env::var("NETWORKS").map_or(150, |n| n.parse().expect("NETWORKS is a number"));
    for name in ["integer_network", "lowered_network"] {
        for case in 0..cases {
            let mut rng = Rng::at(11, Purpose::Test, 0, case);
            let bytes: Vec<u8> = (0..40 + rng.below(200)).map(|_| rng.next_u32() as u8).collect();
            run(name, &bytes);
        }
    }
    let computed = COMPUTED.load(Ordering::Relaxed);
    eprintln!("{computed} of {} networks were computed", 2 * cases);
    assert!(3 * computed > 2 * cases, "only {computed} of {} were valid", 2 * cases);
}

#[test]
fn every_target_is_built_by_the_script() {
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")), "{name}");
        let source = fs::read_to_string(folder("fuzz_targets").join(format!("{name}.rs"))).unwrap();
        assert!(source.contains(&format!("run(\"{name}\", data)")), "{name}");
    }
}
