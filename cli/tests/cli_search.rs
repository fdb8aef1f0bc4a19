//! `search`: the contract's keys, the same result twice, and refusals.

mod common;

use common::run_in;

const SMALL: [&str; 12] = [
    "search",
    "--images",
    "32",
    "--evaluations",
    "5",
    "--min-bits",
    "7",
    "--floor",
    "50",
    "--calibration-images",
    "64",
    "--json",
];

#[test]
fn a_search_names_the_bits_of_every_layer_and_repeats() {
    let dir = tempfile::tempdir().unwrap();
    let run = |out: &str| run_in(dir.path(), &[&SMALL[..], &["--out", out]].concat()).json();
    let (first, second) = (run("a"), run("b"));
    assert_eq!(first["front"], second["front"]);
    let front = first["front"].as_array().unwrap();
    assert!(!front.is_empty());
    for point in front {
        assert!(point["bytes"].as_u64().unwrap() > 0);
        assert!(point["top1_val"].is_number() && point["top1_test"].is_number());
        let bits = point["bits"].as_object().unwrap();
        assert_eq!(bits.len(), 22);
        assert!(bits.values().all(|b| (7..=8).contains(&b.as_u64().unwrap())));
    }
    assert!(dir.path().join(first["model"].as_str().unwrap()).exists());
    assert!(first["best"]["top1_int"].is_number() && first["best"]["top1_test"].is_number());
    assert!(first["model_bytes"].as_u64() > first["best"]["bytes"].as_u64());
    let svg = std::fs::read_to_string(dir.path().join("a/search.svg")).unwrap();
    assert!(svg.contains("7 bits") && svg.contains("bits of each layer"), "{svg}");
}

#[test]
fn searchers_are_chosen_by_name_and_learned_corrections_come_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let learned = ["--correction", "balance,batch_norm,adaquant", "--iterations", "1", "--evaluations", "2"];
    let dynamic = ["--searcher", "dynamic", "--costs", "output"];
    let json = run_in(dir.path(), &[&SMALL[..3], &dynamic, &learned, &SMALL[5..]].concat()).json();
    assert_eq!((&json["searcher"], &json["evaluations"]), (&"dynamic".into(), &2.into()));
    let finished = json["finished"].as_array().unwrap();
    assert!(finished.iter().any(|point| point["bytes"] == json["best"]["bytes"]), "{json}");
}

/// Multiplications of one image, by hand: conv1, the three stages and both shortcuts, fc.
const MULTIPLICATIONS: u64 = 442_368 + 14_155_776 + 2 * (12_976_128 + 131_072) + 640;

#[test]
fn bit_operations_are_few_where_they_are_asked_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let run = |searcher: &str| {
        let flags = ["--minimize", "bit_operations", "--searcher", searcher, "--out", searcher];
        run_in(dir.path(), &[&SMALL[..], &flags].concat()).json()
    };
    let (uniform, random) = (run("uniform"), run("random"));
    let bits = uniform["best"]["bits"]["fc"].as_u64().unwrap();
    assert_eq!(uniform["best"]["bit_operations"], MULTIPLICATIONS * 16 * bits);
    assert!(random["best"]["bit_operations"].as_u64() <= uniform["best"]["bit_operations"].as_u64());
    let front = random["front"].as_array().unwrap();
    let by_operations =
        |pair: &[serde_json::Value]| pair[0]["bit_operations"].as_u64() < pair[1]["bit_operations"].as_u64();
    assert!(front.windows(2).all(by_operations), "{front:?}");
    let svg = std::fs::read_to_string(dir.path().join("random/search.svg")).unwrap();
    assert!(svg.contains("G bit operations of an image") && !svg.contains("KiB"), "{svg}");
}

#[test]
fn impossible_searches_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["search", "--floor", "101"]).refused(2, &["--floor 101"]);
    run_in(dir.path(), &["search", "--min-bits", "5", "--max-bits", "4"]).refused(2, &["--min-bits"]);
    run_in(dir.path(), &["search", "--method", "magic"]).refused(2, &["magic"]);
    run_in(dir.path(), &["search", "--searcher", "oracle"]).refused(2, &["oracle"]);
    run_in(dir.path(), &["search", "--search-floor", "101"]).refused(2, &["--search-floor"]);
    run_in(dir.path(), &["search", "--correction", "none"]).refused(2, &["batch_norm"]);
    let nothing =
        [&SMALL[..3], &["--evaluations", "1", "--min-bits", "1", "--max-bits", "1", "--floor", "100"]]
            .concat();
    run_in(dir.path(), &nothing).refused(1, &["no network reaches 100%"]);
}
