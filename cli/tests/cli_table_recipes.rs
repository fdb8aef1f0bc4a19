//! Recipes of a table: its policy goes before theirs, and they are among the files that it began with.

mod common;

use std::fs;
use std::path::Path;

use common::{changed_network, data, network, records, run_in};
use models::Checkpoint;
use models::formats::latent_path;

/// A small network, another one to learn from, noise, and two recipes called `mine`.
fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    changed_network(dir.path(), "teacher.safetensors", |c| c.tensors[0].1.data_mut()[0] += 0.5);
    data(dir.path(), &records(32), &records(16));
    fs::create_dir(dir.path().join("recipes")).unwrap();
    recipe(dir.path(), "ptq_w4a4_mine", "policy = \"course\"\ncorrection = \"none\"\n");
    recipe(dir.path(), "qat_w4a4_mine", "epochs = 1\nbatch = 16\nteacher = \"teacher.safetensors\"\n");
    dir
}

/// Writes a recipe and returns its text.
fn recipe(folder: &Path, name: &str, text: &str) -> String {
    let text = format!("bits = \"W4A4\"\ncalibration_images = 16\n{text}");
    fs::write(folder.join("recipes").join(format!("{name}.toml")), &text).unwrap();
    text
}

/// A table of W4A4 in `folder`.
fn table(folder: &Path, arguments: &str) -> common::Result {
    let table = "table --weights network.safetensors --data data --bits W4A4 --calibration-images 16 --recipes recipes";
    let words: Vec<&str> = table.split(' ').chain(arguments.split(' ')).collect();
    run_in(folder, &words)
}

#[test]
fn the_policy_of_a_table_goes_before_that_of_its_recipes() {
    let dir = small();
    let json = table(dir.path(), "--methods mine --policy product --out t --json").json();
    let cells = json["cells"].as_array().unwrap();
    assert_eq!(cells.iter().map(|cell| &cell["mode"]).collect::<Vec<_>>(), ["ptq", "qat"]);
    for cell in cells {
        let model = dir.path().join(cell["model"].as_str().unwrap());
        let latent = Checkpoint::read(latent_path(&model)).unwrap();
        assert_eq!(latent.metadata["policy"], "product", "{cell}");
    }
    // What a recipe cannot have is refused before anything is computed, by its name.
    let refused = |name: &str, text: &str, texts: &[&str]| {
        let before = fs::read_to_string(dir.path().join(format!("recipes/{name}.toml"))).unwrap();
        recipe(dir.path(), name, text);
        table(dir.path(), "--methods mine --out x")
            .refused(2, &[&[&*format!("recipes/{name}.toml: ")], texts].concat());
        assert!(!dir.path().join("x").exists());
        fs::write(dir.path().join(format!("recipes/{name}.toml")), before).unwrap();
    };
    refused("qat_w4a4_mine", "batch = 0\n", &["--batch must be at least 1"]);
    for key in ["weights = \"other.safetensors\"", "normalization = \"true\"", "limit = 4", "test_limit = 4"]
    {
        let says = format!("a table says `{}` for all its cells", key.split(' ').next().unwrap());
        refused("qat_w4a4_mine", &format!("{key}\n"), &[&says]);
    }
    refused("ptq_w4a4_mine", "ablation = true\n", &["a table says `ablation`"]);
    refused("ptq_w4a4_mine", "layer_bits = \"layer9.*=2\"\n", &["--layer-bits", "layer9"]);
    table(dir.path(), "--methods mine --residual-bits 16 --out x")
        .refused(2, &["--residual-bits: only --policy product"]);
}

#[test]
fn a_table_goes_on_only_with_the_recipes_it_began_with() {
    let dir = small();
    table(dir.path(), "--methods mine --out t --json").json();
    let resume = || run_in(dir.path(), &["table", "--resume", "t", "--json"]);
    resume().json();
    for mode in ["PTQ", "QAT"] {
        let name = format!("{}_w4a4_mine", mode.to_lowercase());
        let file = dir.path().join(format!("recipes/{name}.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let copy = dir.path().join(format!("t/cells/{mode}_W4A4_mine/recipe.toml"));
        assert_eq!(fs::read_to_string(copy).unwrap(), text);
        fs::write(&file, text.replace("= 16\n", "= 8\n")).unwrap();
        let changed = format!("{name}.toml (recipe) is not the file that the run began with");
        resume().refused(3, &[&changed, "put it back"]);
        fs::remove_file(&file).unwrap();
        resume().refused(3, &[&changed, "none now"]);
        fs::write(&file, text).unwrap();
    }
    let teacher = dir.path().join("teacher.safetensors");
    let before = fs::read(&teacher).unwrap();
    changed_network(dir.path(), "teacher.safetensors", |c| c.tensors[0].1.data_mut()[0] += 1.0);
    resume().refused(3, &["teacher.safetensors (teacher of qat_w4a4_mine.toml) is not the file"]);
    fs::write(&teacher, before).unwrap();
    resume().json();

    // A cell without a recipe goes by the flags, until there is one.
    table(dir.path(), "--methods sawb --modes ptq --out u --json").json();
    recipe(dir.path(), "ptq_w4a4_sawb", "");
    run_in(dir.path(), &["table", "--resume", "u"])
        .refused(3, &["ptq_w4a4_sawb.toml (recipe) is not the file", "none then; take it away"]);
}

#[test]
fn shards_with_other_recipes_are_not_merged() {
    let dir = small();
    let shard = |i: usize| {
        table(dir.path(), &format!("--methods mine,sawb --modes ptq --shard {i}/2 --out s{i} --json"))
    };
    shard(1).json();
    let merge = |out: &str| run_in(dir.path(), &["table", "merge", "s1", "s2", "--out", out, "--json"]);
    // The second shard does not even fill the cell whose recipe is another one.
    let text = fs::read_to_string(dir.path().join("recipes/ptq_w4a4_mine.toml")).unwrap();
    recipe(dir.path(), "ptq_w4a4_mine", "correction = \"bias\"\n");
    shard(2).json();
    merge("x").refused(3, &["ptq_w4a4_mine.toml (recipe) is not the file that the run began with"]);
    fs::write(dir.path().join("recipes/ptq_w4a4_mine.toml"), text).unwrap();
    merge("y").refused(3, &["ptq_w4a4_mine.toml (recipe) is not the file that the run began with"]);
    fs::remove_dir_all(dir.path().join("s2")).unwrap();
    shard(2).json();
    assert_eq!(merge("z").json()["cells"].as_array().unwrap().len(), 2);
    assert!(dir.path().join("z/cells/PTQ_W4A4_mine/recipe.toml").exists());
}
