//! `table`: cells are computed once, kept, and only the missing ones are filled in.

mod common;

use common::run_in;

#[test]
fn a_table_is_filled_cell_by_cell_and_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("table");
    let run = |arguments: &[&str]| run_in(dir.path(), arguments).json();
    let arguments = ["--json", "table", "--bits", "W4A4,W2A2", "--modes", "ptq", "--test-limit", "64"];
    let first = run(&[&arguments[..], &["--out", "table", "--calibration-images", "64"]].concat());
    let cells = first["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 4);
    for cell in cells {
        for key in ["bits", "mode", "method", "top1", "seed", "model"] {
            assert!(!cell[key].is_null(), "{key} of {cell}");
        }
        assert!(dir.path().join(cell["model"].as_str().unwrap()).exists());
    }
    // One cell is lost, another one is marked: the lost one is computed again, the marked one is read back.
    let cell = |name: &str| folder.join(format!("cells/{name}.json"));
    std::fs::remove_file(cell("PTQ_W2A2_symmetric")).unwrap();
    let marked = std::fs::read_to_string(cell("PTQ_W4A4_sawb")).unwrap();
    let top1 = format!("\"top1\": {}", first["cells"][0]["top1"]);
    std::fs::write(cell("PTQ_W4A4_sawb"), marked.replacen(&top1, "\"top1\": 12.5", 1)).unwrap();
    let second = run(&["--json", "table", "--resume", "table"]);
    assert_eq!(second["cells"][0]["top1"], 12.5);
    assert_eq!(second["cells"][3], first["cells"][3]);
    assert!(std::fs::read_to_string(folder.join("table.md")).unwrap().contains("12.50"));
    // Where a table is moved to, its cells' files are.
    std::fs::rename(&folder, dir.path().join("moved")).unwrap();
    let third = run(&["--json", "table", "--resume", "moved"]);
    for cell in third["cells"].as_array().unwrap() {
        let model = cell["model"].as_str().unwrap();
        assert!(model.starts_with("moved") && dir.path().join(model).exists(), "{model}");
    }
    let results = std::fs::read_to_string(dir.path().join("moved/results.json")).unwrap();
    let results: serde_json::Value = serde_json::from_str(&results).unwrap();
    assert_eq!(results["networks"].as_array().unwrap().len(), 2, "the best cell is on the page");
}

#[test]
fn a_folder_of_recipes_gives_each_width_its_method() {
    let dir = tempfile::tempdir().unwrap();
    let recipes = dir.path().join("recipes");
    std::fs::create_dir(&recipes).unwrap();
    let recipe = |name: &str, text: &str| {
        let text = format!("verb = \"qat\"\nbits = \"W4A4\"\nepochs = 1\ncalibration_images = 16\n{text}");
        std::fs::write(recipes.join(format!("qat_w4a4_{name}.toml")), text).unwrap();
    };
    recipe("sawb", "method = \"sawb\"\n");
    recipe(
        "lsq",
        "method = \"heuristic\"\nweight_step = \"lsq\"\nactivation_step = \"lsq\"\nteacher = \"float\"\n",
    );
    let small =
        ["--limit", "128", "--test-limit", "32", "--calibration-images", "16", "--recipes", "recipes"];
    let table = |arguments: &[&str]| {
        run_in(dir.path(), &[&["table", "--json", "--methods", "sawb,lsq"][..], &small, arguments].concat())
    };
    let json = table(&["--bits", "W4A4", "--out", "t"]).json();
    let cells = json["cells"].as_array().unwrap();
    let cells = cells.iter().map(|c| (c["mode"].as_str().unwrap(), c["method"].as_str().unwrap()));
    assert_eq!(cells.collect::<Vec<_>>(), [("ptq", "sawb"), ("qat", "sawb"), ("qat", "lsq")]);
    assert_eq!(json["cells"][2]["seed"], 1);

    // Another recipe is one of quantization alone; two more seeds train the same cell again.
    let text = "verb = \"ptq\"\nbits = \"W4A4\"\ncalibration_images = 16\ncorrection = \"bias\"\n";
    std::fs::write(recipes.join("ptq_w4a4_means.toml"), text).unwrap();
    let text = std::fs::read_to_string(recipes.join("qat_w4a4_sawb.toml")).unwrap();
    std::fs::write(recipes.join("qat_w4a4_means.toml"), text).unwrap();
    let more = ["--bits", "W4A4", "--seeds", "2,3", "--out", "v"];
    let methods = ["table", "--json", "--methods", "means"];
    let result = run_in(dir.path(), &[&methods[..], &small, &more].concat()).json();
    let runs = result["cells"].as_array().unwrap();
    let runs = runs.iter().map(|c| (c["mode"].as_str().unwrap(), c["seed"].as_u64().unwrap()));
    assert_eq!(runs.collect::<Vec<_>>(), [("ptq", 1), ("qat", 1), ("qat", 2), ("qat", 3)]);
    let markdown = std::fs::read_to_string(dir.path().join("v/table.md")).unwrap();
    assert!(markdown.contains(" ± ") && markdown.contains("Best method of each width"), "{markdown}");
    let seeds = |seeds: &str| table(&["--bits", "W4A4", "--seeds", seeds, "--out", "w"]);
    seeds("1").refused(2, &["--seeds: 1 is the table's own"]);
    seeds("2,3,2").refused(2, &["--seeds: 2 stands there twice"]); // or one run would count for two
    seeds("9223372036854775808").refused(2, &["--seeds", "9223372036854775807"]);

    table(&["--bits", "W2A2", "--modes", "qat", "--out", "u"])
        .refused(3, &["recipes/qat_w2a2_sawb.toml: no such recipe"]);
    run_in(dir.path(), &[&["table", "--methods", "nothing", "--out", "x"][..], &small].concat())
        .refused(3, &["recipes/ptq_w8a8_nothing.toml: no such recipe"]);
}

#[test]
fn what_cannot_be_is_refused_by_the_flags_of_the_verb() {
    let dir = tempfile::tempdir().unwrap();
    let table = |flag: &str, value: &str| run_in(dir.path(), &["table", flag, value, "--dry-run"]);
    // The same run twice would be shown as two seeds that agree.
    for (flag, list, twice) in [
        ("--bits", "W4A4,W2A2,W4A4", "W4A4 stands there twice; give each width once"),
        ("--methods", "sawb,sawb", "sawb stands there twice; give each method once"),
        ("--methods", "max,sawb,symmetric", "symmetric stands there twice; give each method once"),
        ("--modes", "qat,ptq,qat", "qat stands there twice; give each mode once"),
    ] {
        table(flag, list).refused(2, &[&format!("{flag}: {twice}")]);
    }
    // There is a recipe of that name, but none for training.
    std::fs::create_dir(dir.path().join("recipes")).unwrap();
    std::fs::write(dir.path().join("recipes/ptq_w4a4_own.toml"), "verb = \"ptq\"\nbits = \"W4A4\"\n")
        .unwrap();
    let none = "table --bits W4A4 --methods own --modes qat --recipes recipes --dry-run";
    run_in(dir.path(), &none.split(' ').collect::<Vec<_>>()).refused(2, &["no cell is asked for"]);
    // A flag that says nothing about any cell is told.
    let idle =
        "table --bits W4A4 --methods own --modes ptq --recipes recipes --dry-run --limit 16 --epochs 3";
    let result = run_in(dir.path(), &idle.split(' ').collect::<Vec<_>>());
    assert!(result.code == 0 && result.stderr.contains("note: --epochs has no effect"), "{result:?}");
    assert!(!result.stderr.contains("--lr"), "{result:?}");
    let epochs = table("--epochs", "0");
    epochs.refused(2, &["--epochs must be at least 1"]);
    assert!(!epochs.stderr.contains("--batch"), "{epochs:?}");
}

/// A cell's seed is the seed of everything in it, also of the images it is calibrated on.
#[test]
fn another_seed_of_a_table_is_the_run_of_that_seed() {
    let dir = tempfile::tempdir().unwrap();
    let small = "--limit 128 --test-limit 32 --calibration-images 16 --epochs 1 --lr 0.01 --ema 0.9 --json";
    let run = |verb: &str| {
        let line = format!("{verb} {small}");
        run_in(dir.path(), &line.split(' ').collect::<Vec<_>>()).json()
    };
    let table = run("table --bits W4A4 --modes qat --methods sawb --seeds 2 --out t");
    run("qat --bits W4A4 --method sawb --seed 2 --out q");
    let tensors = |file: &str| {
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        let start = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        bytes[start..].to_vec()
    };
    let seed = |n: u64| table["cells"].as_array().unwrap().iter().find(|c| c["seed"] == n).unwrap();
    let alone = tensors("q/last/ResNet20_W4A4.safetensors");
    assert!(tensors(seed(2)["model"].as_str().unwrap()) == alone);
    assert!(tensors(seed(1)["model"].as_str().unwrap()) != alone);
}
