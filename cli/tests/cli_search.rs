//! `search`: the contract's keys, the same result twice, and refusals.

mod common;

use common::run_in;

const SMALL: [&str; 10] =
    ["search", "--images", "32", "--evaluations", "5", "--min-bits", "7", "--floor", "50", "--json"];

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
}

#[test]
fn impossible_searches_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["search", "--floor", "101"]).refused(2, &["--floor 101"]);
    run_in(dir.path(), &["search", "--min-bits", "5", "--max-bits", "4"]).refused(2, &["--min-bits"]);
    run_in(dir.path(), &["search", "--method", "magic"]).refused(2, &["magic"]);
    let nothing = ["search", "--images", "32", "--evaluations", "1", "--min-bits", "8", "--floor", "100"];
    run_in(dir.path(), &nothing).refused(1, &["no network reaches 100%"]);
}
