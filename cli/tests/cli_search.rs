//! `search`: the contract's keys, the same result twice, and refusals.

mod common;

use common::run_in;
use serde_json::Value;

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
    // What it prints makes this network again: the policy would give the last layer another input.
    let printed = first["best"]["layer_bits"].as_str().unwrap();
    let entries: Vec<&str> = printed.split(',').collect();
    assert!(["conv1=7", "conv1=8"].contains(&entries[0]), "{printed}");
    assert!(entries[21].starts_with("fc=W") && entries[21].ends_with("A16"), "{printed}");
    // Nothing of it is a float, so that pictures can be classified with it.
    let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/cifar10-slice/test_batch.bin");
    let infer = ["infer", "--limit", "2", "--model", first["model"].as_str().unwrap(), records, "--json"];
    run_in(dir.path(), &infer).json();
    let flags: Vec<&str> = first["as_ptq"].as_str().unwrap().split(' ').collect();
    let ptq = run_in(dir.path(), &[&["ptq", "--json", "--out", "again"], &flags[..]].concat()).json();
    assert_eq!(ptq["bits"], "W8A16", "{ptq}");
    let network = |model: &Value| {
        let latent = model.as_str().unwrap().replace(".safetensors", ".latent.safetensors");
        let file = models::Checkpoint::read(dir.path().join(latent)).unwrap();
        (file.tensors, file.metadata["quantization"].clone())
    };
    assert_eq!(network(&first["model"]), network(&ptq["model"]));
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

/// A correction that candidates do not see makes another network: the one that is reported is the one that is saved.
#[test]
fn the_accuracy_is_that_of_the_network_which_is_saved() {
    let dir = tempfile::tempdir().unwrap();
    let search = "search --searcher uniform --min-bits 3 --max-bits 3 --images 500 --calibration-images 64 --floor 10 \
                  --evaluations 1 --correction equalize,batch_norm --json";
    let best = &run_in(dir.path(), &search.split_whitespace().collect::<Vec<_>>()).json()["best"];
    let percent = |key: &str| best[key].as_f64().unwrap();
    // The slice has 1,000 test images: 500 searched on, and 500 others.
    let halves = (percent("top1_val") + percent("top1_test")) / 2.0;
    assert!((halves - percent("top1_int")).abs() < 0.01, "{best}");
}

/// Multiplications of one image, by hand: conv1, the three stages and both shortcuts, fc.
const OPERATIONS_OF_A_BIT: u64 = 442_368 * 8 + (14_155_776 + 2 * (12_976_128 + 131_072) + 640) * 16;

#[test]
fn bit_operations_are_few_where_they_are_asked_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let run = |searcher: &str| {
        let flags = ["--minimize", "bit_operations", "--searcher", searcher, "--out", searcher];
        run_in(dir.path(), &[&SMALL[..], &flags].concat()).json()
    };
    let (uniform, random) = (run("uniform"), run("random"));
    let bits = uniform["best"]["bits"]["fc"].as_u64().unwrap();
    assert_eq!(uniform["best"]["bit_operations"], OPERATIONS_OF_A_BIT * bits);
    assert!(random["best"]["bit_operations"].as_u64() <= uniform["best"]["bit_operations"].as_u64());
    let front = random["front"].as_array().unwrap();
    let by_operations =
        |pair: &[serde_json::Value]| pair[0]["bit_operations"].as_u64() < pair[1]["bit_operations"].as_u64();
    assert!(front.windows(2).all(by_operations), "{front:?}");
    let svg = std::fs::read_to_string(dir.path().join("random/search.svg")).unwrap();
    assert!(svg.contains("G bit operations of an image") && !svg.contains("KiB"), "{svg}");
}

#[test]
fn the_most_accurate_within_a_size_is_within_it() {
    let dir = tempfile::tempdir().unwrap();
    let few = [&SMALL[..7], &SMALL[9..]].concat(); // without the floor
    let search = |flags: &[&str]| run_in(dir.path(), &[&few[..], flags].concat());
    // 7 bits everywhere have about 231 KiB, 8 have 264.
    let json = search(&["--searcher", "random", "--at-most", "250", "--out", "random"]).json();
    let bytes = json["best"]["bytes"].as_u64().unwrap();
    assert!((240 * 1024..=250 * 1024).contains(&bytes), "{bytes}");
    assert_eq!((json["at_most"].as_f64(), &json["floor"]), (Some(250.0), &serde_json::Value::Null));
    let front = json["front"].as_array().unwrap();
    let mut within = front.iter().filter(|point| point["bytes"].as_u64().unwrap() <= 250 * 1024);
    assert_eq!(within.next_back().unwrap()["bits"], json["best"]["bits"], "{front:?}");
    let svg = std::fs::read_to_string(dir.path().join("random/search.svg")).unwrap();
    assert!(svg.contains("limit") && !svg.contains("floor"), "{svg}");

    let learned = ["--correction", "batch_norm,adaquant", "--iterations", "1", "--at-most", "240"];
    let json = search(&[&learned[..], &["--searcher", "uniform"]].concat()).json();
    assert!(json["best"]["bits"].as_object().unwrap().values().all(|b| b == 7), "{json}");

    let operations = ["--minimize", "bit_operations", "--searcher", "uniform", "--at-most", "4.6"];
    let json = search(&operations).json(); // 40.8 million products of 16 (the image: 8) by 7 bits are 4.55 G
    assert_eq!(json["best"]["bit_operations"], OPERATIONS_OF_A_BIT * 7);
    let json = search(&[&operations[..5], &["4.5"]].concat());
    json.refused(1, &["no network has at most 4.5 G bit operations", "7 bits everywhere", "--at-most"]);

    // Five candidates do not measure what each of 22 layers costs.
    let ended = search(&["--at-most", "250", "--out", "ended"]);
    ended.refused(
        1,
        &["no network of at most 250 KiB was found in 5 candidates", "--evaluations", "--costs output"],
    );
}

#[test]
fn impossible_searches_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    run_in(dir.path(), &["search", "--floor", "101"]).refused(2, &["--floor 101"]);
    run_in(dir.path(), &["search", "--min-bits", "5", "--max-bits", "4"]).refused(2, &["--min-bits"]);
    run_in(dir.path(), &["search", "--method", "magic"]).refused(2, &["magic"]);
    run_in(dir.path(), &["search", "--searcher", "oracle"]).refused(2, &["oracle"]);
    run_in(dir.path(), &["search", "--search-floor", "101"]).refused(2, &["--search-floor"]);
    run_in(dir.path(), &["search", "--at-most", "0"]).refused(2, &["--at-most 0"]);
    run_in(dir.path(), &["search", "--at-most", "60", "--floor", "85"]).refused(2, &["--at-most", "--floor"]);
    run_in(dir.path(), &["search", "--correction", "none"]).refused(2, &["batch_norm"]);
    let nothing =
        [&SMALL[..3], &["--evaluations", "1", "--min-bits", "1", "--max-bits", "1", "--floor", "100"]]
            .concat();
    let nothing = run_in(dir.path(), &[&nothing[..], &["--out", "nothing"]].concat());
    nothing.refused(1, &["no network reaches 100%"]);
    let drawn = std::fs::read_to_string(dir.path().join("nothing/search.svg")).unwrap();
    assert!(drawn.contains("1 candidate<") && drawn.contains("1 bits everywhere"), "{drawn}");
}
