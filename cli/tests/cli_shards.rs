//! Runs in shards: three processes, each with a share, and what `merge` makes of them is what one process makes.

mod common;

use std::path::Path;

use common::{cli, data, network, records, run_in};
use serde_json::Value;

/// Runs three commands at the same time; all must end well.
fn three(dir: &Path, arguments: impl Fn(usize) -> Vec<String>) -> Vec<Value> {
    let started: Vec<_> = (1..=3)
        .map(|i| {
            let mut command = cli(&[]);
            command.args(arguments(i)).arg("--json").current_dir(dir);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let ended = started.into_iter().map(|process| process.wait_with_output().unwrap());
    let results: Vec<common::Result> = ended.map(Into::into).collect();
    results.into_iter().map(|result| result.json()).collect()
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A small network and noise: what is compared are bits, not accuracies.
const SMALL: &str = "--weights network.safetensors --data data --calibration-images 16";

fn small() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    network(dir.path());
    data(dir.path(), &records(32), &records(32));
    dir
}

#[test]
fn three_shards_of_a_search_are_the_search() {
    let dir = small();
    let search = format!("search {SMALL} --images 16 --evaluations 40 --min-bits 6 --floor 0");
    let whole = format!("{search} --out one --json");
    let whole = run_in(dir.path(), &whole.split(' ').collect::<Vec<_>>()).json();
    // Ten layers at 6 to 8 bits, one after the other: 21 candidates are announced.
    let round = three(dir.path(), |i| words(&format!("{search} --shard {i}/3 --out s{i}")));
    let measured: Vec<u64> = round.iter().map(|r| r["measured"].as_u64().unwrap()).collect();
    assert_eq!(measured, [7, 7, 7]);
    // What comes then is decided one after the other: nothing is left to share.
    let round = three(dir.path(), |i| words(&format!("search --resume s{i} --known s1,s2,s3")));
    assert!(round.iter().all(|r| r["done"] == true && r["measured"] == 0), "{round:?}");
    let ledgers = (1..=3).map(|i| lines(&dir.path().join(format!("s{i}/metrics.jsonl"))).len());
    assert_eq!(ledgers.collect::<Vec<_>>(), [21, 21, 21]);
    let merged = run_in(dir.path(), &["--json", "search", "merge", "s1", "s2", "s3", "--out", "all"]).json();
    for (key, value) in whole.as_object().unwrap() {
        // Where it is and how fast it was are another run's.
        if !["run", "model", "report", "evaluations_per_hour"].contains(&key.as_str()) {
            assert_eq!(&merged[key], value, "{key}");
        }
    }
    let mut ledgers = ["one", "all"].map(|run| lines(&dir.path().join(run).join("metrics.jsonl")));
    ledgers.iter_mut().for_each(|lines| lines.sort());
    assert_eq!(ledgers[0], ledgers[1]);
    let bytes = |run: &str, file: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
    assert!(bytes("one", "search.svg") == bytes("all", "search.svg"));
    assert!(bytes("one", "ResNet8_mixed.safetensors") == bytes("all", "ResNet8_mixed.safetensors"));

    let other = format!("{search} --seed 2 --evaluations 1 --shard 1/3 --out other").replacen(
        "--evaluations 40 ",
        "",
        1,
    );
    assert_eq!(run_in(dir.path(), &other.split(' ').collect::<Vec<_>>()).code, 0);
    let merge =
        |shards: &[&str]| run_in(dir.path(), &[&["search", "merge"], shards, &["--out", "x"]].concat());
    merge(&["s1", "other"]).refused(3, &["other: is no shard of the same run as s1"]);
    let known = format!("{search} --known other --out k");
    run_in(dir.path(), &known.split(' ').collect::<Vec<_>>())
        .refused(3, &["other: is no shard of the same run as k"]);
    merge(&["nowhere"]).refused(3, &["nowhere"]);
    // A shard that began with other files, or measured something else, is refused before anything is taken: the folder is free again.
    let file = |name: &str| dir.path().join(name);
    for (name, key, changed) in [
        ("inputs.json", "\"sha256\": \"", "\"sha256\": \"0"),
        ("metrics.jsonl", "\"top1_val\":", "\"top1_val\":1"),
    ] {
        let name = file(&format!("s2/{name}"));
        let good = std::fs::read_to_string(&name).unwrap();
        assert!(good.contains(key), "{good}");
        std::fs::write(&name, good.replacen(key, changed, 1)).unwrap();
        merge(&["s1", "s2"]).refused(3, &["s2"]);
        std::fs::write(&name, good).unwrap();
    }
    assert_eq!(merge(&["s1", "s2", "s3"]).code, 0);
    run_in(dir.path(), &["search", "--shard", "4/3"]).refused(2, &["i from 1 to n"]);
}

#[test]
fn three_shards_of_a_table_are_the_table() {
    let dir = small();
    let table = format!("table {SMALL} --bits W4A4,W2A2 --modes ptq --test-limit 16");
    let one = format!("{table} --out one --json");
    let one = run_in(dir.path(), &one.split(' ').collect::<Vec<_>>()).json();
    let shards = three(dir.path(), |i| words(&format!("{table} --shard {i}/3 --out t{i}")));
    let count = |result: &Value| result["cells"].as_array().unwrap().len();
    assert_eq!(shards.iter().map(count).collect::<Vec<_>>(), [2, 1, 1]);
    // A shard that began with other files is refused before anything is taken: the folder is free again.
    let inputs = dir.path().join("t2/inputs.json");
    let good = std::fs::read_to_string(&inputs).unwrap();
    std::fs::write(&inputs, good.replacen("\"sha256\": \"", "\"sha256\": \"0", 1)).unwrap();
    run_in(dir.path(), &["table", "merge", "t1", "t2", "--out", "all"]).refused(3, &["cannot merge t2: "]);
    std::fs::write(&inputs, good).unwrap();
    // Network and data may lie elsewhere on the machine that merges; other ones are refused.
    let at = |name: &str| dir.path().join(name);
    std::fs::rename(at("data"), at("moved")).unwrap();
    std::fs::rename(at("network.safetensors"), at("moved.safetensors")).unwrap();
    common::changed_network(dir.path(), "other.safetensors", |c| c.tensors[0].1.data_mut()[0] += 1.0);
    let merge = |here: &[&str]| {
        let shards = ["--json", "table", "merge", "t1", "t2", "t3", "--out", "elsewhere"];
        run_in(dir.path(), &[&shards[..], here].concat())
    };
    merge(&[]).refused(3, &["network.safetensors"]);
    merge(&["--weights", "moved.safetensors", "--data", "nowhere"]).refused(3, &["nowhere"]);
    merge(&["--weights", "other.safetensors", "--data", "moved"]).refused(3, &["cannot merge t1: "]);
    let moved = merge(&["--weights", "moved.safetensors", "--data", "moved"]).json();
    std::fs::rename(at("moved"), at("data")).unwrap();
    std::fs::rename(at("moved.safetensors"), at("network.safetensors")).unwrap();
    // A cell that one shard has lost is filled by the merge.
    std::fs::remove_file(dir.path().join("t2/cells/PTQ_W4A4_symmetric.json")).unwrap();
    let all = run_in(dir.path(), &["--json", "table", "merge", "t1", "t2", "t3", "--out", "all"]).json();
    let cells = |result: &Value| {
        let mut cells = result["cells"].as_array().unwrap().clone();
        for cell in &mut cells {
            assert!(dir.path().join(cell["model"].as_str().unwrap()).exists(), "{cell}");
            let model = cell["model"].as_str().unwrap().replace("all/", "one/");
            cell["model"] = model.into();
        }
        cells
    };
    assert_eq!(cells(&all), cells(&one));
    let sizes = |result: &Value| -> Vec<Value> {
        result["cells"].as_array().unwrap().iter().map(|cell| cell["model_bytes"].clone()).collect()
    };
    assert_eq!(sizes(&moved), sizes(&one));
    let text = |run: &str| std::fs::read_to_string(dir.path().join(run).join("table.md")).unwrap();
    assert_eq!(text("one"), text("all"));
    for model in ["PTQ_W4A4_sawb/ResNet8_W4A4.safetensors", "PTQ_W2A2_symmetric/ResNet8_W2A2.safetensors"] {
        let bytes = |run: &str| std::fs::read(dir.path().join(run).join("cells").join(model)).unwrap();
        assert!(bytes("one") == bytes("all"), "{model}");
    }
}

#[test]
fn a_merge_takes_settings_and_seed_from_its_shards() {
    let dir = tempfile::tempdir().unwrap();
    // Settings that no run begins with: a merge that is forgotten ends at once, with another message.
    for (verb, setting) in [("search", "floor = 101.0"), ("table", "epochs = 0")] {
        std::fs::write(dir.path().join("c.toml"), format!("verb = \"{verb}\"\n{setting}\n")).unwrap();
        for (flag, value) in [("--config", "c.toml"), ("--seed", "2")] {
            let texts = [&format!("{flag}: `{verb} merge`")[..], &format!("leave {flag} out")[..]];
            run_in(dir.path(), &[verb, "merge", "s1", flag, value]).refused(2, &texts);
            run_in(dir.path(), &[flag, value, verb, "merge", "s1"]).refused(2, &texts);
        }
    }
}

/// Of what is announced first, three uniform widths, the fourth of ten has no share; of what comes then it has.
#[test]
fn a_shard_without_a_share_of_the_round_is_not_done() {
    let dir = small();
    let search = format!(
        "search {SMALL} --images 16 --evaluations 30 --min-bits 6 --floor 0 --searcher nsga2 --shard 4/10 --out s --json"
    );
    let round = run_in(dir.path(), &search.split(' ').collect::<Vec<_>>()).json();
    assert_eq!((&round["measured"], &round["done"]), (&0.into(), &false.into()), "{round}");
}

/// The job files for Slurm and GNU parallel, with the program itself behind a name that adds small settings, and a `parallel` that
/// is a loop.
#[test]
#[cfg(unix)]
fn the_job_files_do_what_one_process_does() {
    use std::os::unix::fs::PermissionsExt;

    const SEARCH: &str = "--images 16 --evaluations 40 --min-bits 6 --floor 0";
    const TABLE: &str = "--bits W4A4,W2A2 --modes ptq --test-limit 16";
    const LOOP: &str = r#"shift 2
while read -r i; do
    words=""
    for word in "$@"; do words="$words '$(printf %s "$word" | sed "s/{}/$i/g")'"; done
    eval "$words" || exit 1
done
"#;
    let dir = small();
    let script = |name: &str, text: String| {
        let path = dir.path().join("bin").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    let begin = |verb: &str, more: &str| {
        format!(
            "case \"$*\" in {verb}*--shard*) set -- \"$@\" --calibration-images 16 --weights network.safetensors {more};; esac\n"
        )
    };
    let program = format!("exec {} \"$@\"\n", env!("CARGO_BIN_EXE_cli"));
    script("quantlab", [begin("search", SEARCH), begin("table", TABLE), program].concat());
    script("parallel", LOOP.to_owned());
    let path = format!("{}:{}", dir.path().join("bin").display(), std::env::var("PATH").unwrap());
    let run = |file: &str, environment: &[(&str, &str)]| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scale-out").join(file);
        let mut shell = std::process::Command::new("sh");
        shell
            .arg(file)
            .current_dir(dir.path())
            .env("PATH", &path)
            .env("QUANT_ISA", "scalar")
            .env("DATA", "data");
        let output: common::Result = shell.envs(environment.iter().copied()).output().unwrap().into();
        assert_eq!(output.code, 0, "{output:?}");
    };
    let one = |arguments: String| {
        let mut command = cli(&[]);
        command.args(words(&arguments)).env("QUANT_ISA", "scalar").current_dir(dir.path());
        assert_eq!(common::Result::from(command.output().unwrap()).code, 0, "{arguments}");
    };
    let same = |whole: &str, file: &str| {
        let read = |run: &str| std::fs::read(dir.path().join(run).join(file)).unwrap();
        assert!(read("one") == read(whole), "{whole}/{file}");
        std::fs::remove_dir_all(dir.path().join("one")).unwrap();
    };

    // The model says which command made it, and so how much memory it was given.
    let search = |mib| format!("search {SMALL} {SEARCH} --searcher nsga2 --cache-mib {mib} --out one");
    one(search(1000));
    run("parallel.sh", &[("OUT", "p"), ("N", "2"), ("ROUNDS", "3")]);
    same("p/whole", "ResNet8_mixed.safetensors");
    one(search(2000));
    for task in ["1", "2", "1", "2"] {
        let array =
            [("SLURM_ARRAY_TASK_ID", task), ("SLURM_ARRAY_TASK_COUNT", "2"), ("SLURM_CPUS_PER_TASK", "1")];
        run("slurm.sbatch", &[&array[..], &[("OUT", "s")]].concat());
    }
    one("search merge s/shard-1 s/shard-2 --out s/whole".to_owned());
    same("s/whole", "ResNet8_mixed.safetensors");
    one(format!("table {SMALL} {TABLE} --out one"));
    run("parallel.sh", &[("VERB", "table"), ("OUT", "t"), ("N", "2")]);
    same("t/whole", "table.md");
}
