//! The machine-readable contract: keys, streams, reproducibility.

mod common;

use std::fs;
use std::path::Path;

use common::{data, network, records, run_in, shared, text};

/// `.npy` of these numbers.
fn npy(path: &Path, values: &[f32]) {
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}", values.len());
    header.push_str(&" ".repeat(118 - header.len() - 1));
    header.push('\n');
    let numbers = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    fs::write(path, [b"\x93NUMPY\x01\x00\x76\x00".to_vec(), header.into_bytes(), numbers].concat()).unwrap();
}

#[test]
fn calibrate_of_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.npy");
    npy(&path, &(0..400).map(|i| ((i * 37 % 400) as f32 / 200.0 - 1.0).powi(3)).collect::<Vec<_>>());
    let result = run_in(dir.path(), &["calibrate", "--input", text(&path), "--bits", "4", "--json"]);
    assert!(result.stderr.contains("heuristic"), "the table goes to stderr: {result:?}");
    let json = result.json();
    let best = json["optimum"]["mse"].as_f64().unwrap();
    assert!(json["optimum"]["scale"].as_f64().unwrap() > 0.0 && best > 0.0);
    for method in ["symmetric", "heuristic", "sawb", "sawb_refit"] {
        let of =
            |key: &str| json["methods"][method][key].as_f64().unwrap_or_else(|| panic!("{method}.{key}"));
        assert!(of("scale") > 0.0 && of("mse") >= best * 0.999 && of("bias").abs() < 1.0);
        let parts = of("bias_clipping") + of("bias_rounding");
        assert!((of("bias") - parts).abs() < 1e-12);
    }
    assert_eq!(json["methods"]["symmetric"]["scale"], 0.125); // 1 / 2^3
    let report = fs::read_to_string(dir.path().join(json["report"].as_str().unwrap())).unwrap();
    assert!(report.contains("</html>") && report.matches("<svg").count() >= 2);
}

#[test]
fn calibrate_over_the_data_sets() {
    let dir = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| run_in(dir.path(), &[&["calibrate", "--samples", "2000"], more].concat());
    let json = run(&["--json", "--out", "a", "--threads", "1"]).json();
    let table = json["table"].as_array().unwrap();
    assert_eq!(table.len(), 6);
    assert_eq!((&table[0]["set"], &table[5]["set"]), (&"A".into(), &"B".into()));
    assert_eq!((&table[0]["bits"], &table[5]["bits"]), (&8.into(), &2.into()));
    assert!(table.iter().all(
        |row| row["methods"]["heuristic"]["mse"].as_f64() <= row["methods"]["symmetric"]["mse"].as_f64()
    ));
    // The same seed gives the same numbers on any number of threads; another seed does not.
    assert_eq!(run(&["--json", "--out", "b", "--threads", "3"]).json()["table"], json["table"]);
    assert_ne!(run(&["--json", "--out", "c", "--seed", "2"]).json()["table"], json["table"]);
    // A run's configuration repeats it.
    let config = dir.path().join("c/config.toml");
    let again = run_in(dir.path(), &["calibrate", "--config", text(&config), "--json", "--out", "d"]).json();
    assert_eq!(again["table"], run(&["--json", "--out", "e", "--seed", "2"]).json()["table"]);
    // For people: the table and the histogram on stdout, nothing that is not asked for on stderr.
    let people = run(&["--out", "f"]);
    assert_eq!((people.code, people.stderr.as_str()), (0, ""));
    assert!(
        people.stdout.contains("sawb_refit") && people.stdout.contains('█') && people.stdout.contains('┴')
    );
    for name in
        ["report.html", "mse.svg", "histogram-1-8.svg", "histogram-2-2.svg", "config.toml", "metrics.jsonl"]
    {
        assert!(dir.path().join("f").join(name).exists(), "{name}");
    }
    run(&["--out", "f"]).refused(3, &["f: holds a run of `calibrate` already"]);
}

#[test]
fn eval_keys() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let folder = data(dir.path(), &records(30), &records(20));
    let base = ["eval", "--weights", text(&weights), "--data", text(&folder), "--json"];
    let json = run_in(dir.path(), &base).json();
    assert_eq!(
        (&json["images"], &json["weights_bytes"]),
        (&20.into(), &fs::metadata(&weights).unwrap().len().into())
    );
    assert!(
        (0.0..=100.0).contains(&json["top1"].as_f64().unwrap()) && json["seconds"].as_f64().unwrap() > 0.0
    );
    let limited = run_in(dir.path(), &[&base[..], &["--split", "train", "--limit", "7"]].concat()).json();
    assert_eq!((&limited["images"], &limited["split"]), (&7.into(), &"train".into()));
    assert!(!dir.path().join("runs").exists(), "eval writes nothing");
}

#[test]
fn published_checkpoints_through_the_program() {
    let Some(shared) = shared() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = shared.join("data");
    for (file, more, expected) in [
        ("resnet20_option_b_92.97.safetensors", [].as_slice(), 94.1),
        ("resnet20_option_a_91.73.th", &["--normalization", "imagenet"], 91.5),
    ] {
        let weights = shared.join("pretrained").join(file);
        let base = ["eval", "--weights", text(&weights), "--data", text(&data), "--limit", "1000", "--json"];
        let json = run_in(dir.path(), &[&base[..], more].concat()).json();
        // One image may fall to the other side of a tie on another instruction set.
        assert!((json["top1"].as_f64().unwrap() - expected).abs() < 0.11, "{json}");
    }
}

#[test]
fn inspect_keys() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let base = ["inspect", "--weights", text(&weights), "--images", "8", "--json"];
    let json = run_in(dir.path(), &base).json();
    let layers = json["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 10); // conv1, 3 blocks of 2, 2 downsamples, fc
    assert_eq!(
        (&layers[0]["name"], &layers[0]["shape"]),
        (&"conv1".into(), &serde_json::json!([16, 3, 3, 3]))
    );
    assert_eq!((&layers[0]["bytes"], &layers[0]["activation"]["signed"]), (&216.into(), &true.into()));
    assert!(
        layers[1..].iter().all(|l| l["activation"]["signed"] == false && l["sqnr_db"].as_f64() > Some(5.0))
    );
    assert_eq!((&json["bits"], &json["method"]), (&4.into(), &"sawb".into()));
    let two = run_in(
        dir.path(),
        &[&base[..], &["--layers", "fc,conv1", "--bits", "8", "--method", "symmetric"]].concat(),
    );
    let two = two.json();
    assert_eq!(two["layers"].as_array().unwrap().len(), 2);
    let plots = dir.path().join(two["run"].as_str().unwrap()).join("plots");
    assert_eq!(fs::read_dir(plots).unwrap().count(), 4);
}

#[test]
fn data_verify_of_what_comes_with_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let json = run_in(dir.path(), &["data", "verify", "--json"]).json();
    assert_eq!(
        (&json["balanced"], &json["complete"], &json["train"]["images"]),
        (&true.into(), &false.into(), &2000.into())
    );
    assert!(json["files"].as_array().unwrap().iter().all(|file| file["listed"] == true));
}

#[test]
fn completions_and_help() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let result = run_in(dir.path(), &["completions", shell]);
        assert!(result.code == 0 && result.stdout.contains("calibrate"), "{shell}");
    }
    let page = run_in(dir.path(), &["man", "ptq"]);
    assert!(
        page.code == 0 && page.stdout.contains(".SH OPTIONS") && page.stdout.contains("cli\\-ptq"),
        "{page:?}"
    );
    let pages =
        run_in(dir.path(), &["man", "--out", "man", "--json"]).json()["pages"].as_array().unwrap().len();
    assert_eq!(fs::read_dir(dir.path().join("man")).unwrap().count(), pages);
    let below = run_in(dir.path(), &["man", "data", "verify"]).stdout;
    assert_eq!(below, fs::read_to_string(dir.path().join("man/cli-data-verify.1")).unwrap());
    let examples = ".SH EXAMPLES\n.nf\n# the slice that comes with the program\ncli data verify\n";
    assert!(below.contains(examples) && !below.contains("EXTRA") && below.contains("\"cli 0."), "{below}");
    let bash = run_in(dir.path(), &["completions", "bash"]).stdout;
    assert!(bash.contains("compgen -W \"course product\"") && bash.contains("sawb_refit"));
    run_in(dir.path(), &["man", "ptqq"]).refused(2, &["no verb `ptqq`; did you mean `ptq`?"]);
    assert_eq!(run_in(dir.path(), &["--help"]).code, 0);
    assert_eq!(run_in(dir.path(), &[]).code, 2);
}

#[test]
fn the_installed_name_is_the_same_program() {
    let run = |arguments: &[&str]| {
        let output =
            std::process::Command::new(env!("CARGO_BIN_EXE_quantlab")).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(run(&["--version"]).starts_with("quantlab "));
    let help = run(&["ptq", "--help"]);
    assert!(help.contains("Usage: quantlab ptq") && help.contains("\n  quantlab ptq --bits W4A4"), "{help}");
    assert!(run(&["completions", "bash"]).contains("_quantlab"));
}

#[test]
fn doctor_says_what_is_there_and_what_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let json = run_in(dir.path(), &["doctor", "--json", "--threads", "1"]).json();
    for (part, peak) in [(&json["float"], "peak_gflops"), (&json["integer"]["chosen"][0], "peak_gops")] {
        assert!(part[peak].as_f64().unwrap() > 0.0, "{json}");
    }
    let available = json["integer"]["available"].as_array().unwrap();
    assert!(available.contains(&json["integer"]["isa"]) && available.contains(&"scalar".into()), "{json}");
    assert_eq!((&json["threads"], &json["data"]["test_images"]), (&1.into(), &1000.into()));
    run_in(dir.path(), &["doctor", "--data", "absent"]).refused(3, &["absent: no data set"]);
}

#[test]
fn a_name_that_is_mistyped_is_answered_with_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let base = ["inspect", "--weights", text(&weights), "--layers", "layer1.0.cnv1"];
    run_in(dir.path(), &base).refused(2, &["did you mean `layer1.0.conv1`?"]);
    run_in(dir.path(), &["eval", "--weights", "netwrok.safetensors"])
        .refused(3, &["did you mean `network.safetensors`?"]);
    for (arguments, code, texts) in [
        (&["ptq", "--layer-bits", "layer9.*=2"][..], 2, ["--layer-bits", "did you mean `layer1.*`?"]),
        (&["ptq", "--normalization", "imgnet"], 2, ["--normalization", "did you mean `imagenet`?"]),
        (&["bench", "infer", "--isa", "scalr"], 2, ["--isa", "did you mean `scalar`?"]),
        (&["bench", "gemm", "--isa", "scalr"], 2, ["--isa", "did you mean `scalar`?"]),
        (&["bench", "train", "--isa", "scalar"], 2, ["--isa", "only `bench infer`"]),
        (&["bench", "gemm", "--numbers", "f32", "--isa", "scalar"], 2, ["--isa", "--numbers int8"]),
        (&["bench", "gemm", "--shape", "8,abc,8,8"], 2, ["8,abc,8,8", "expected M,N,K"]),
    ] {
        run_in(dir.path(), arguments).refused(code, &texts);
    }
    for (arguments, near) in [
        (["ptq", "--policy", "curse"], "`course`"),
        (["ptq", "--method", "symetric"], "`symmetric`"),
        (["ptq", "--correction", "batchnorm"], "`batch_norm`"),
        (["ptq", "--activation-rule", "percentil"], "`percentile`"),
        (["export", "--names", "shortcuts"], "`shortcut`"),
    ] {
        let result = run_in(dir.path(), &arguments);
        assert!(result.code == 2 && result.stderr.contains(&format!("did you mean {near}?")), "{result:?}");
        assert!(result.stderr.contains(arguments[1]), "the flag is named: {result:?}");
    }
    fs::write(dir.path().join("c.toml"), "verb = \"eval\"\nbatsh = 3\n").unwrap();
    run_in(dir.path(), &["eval", "--config", "c.toml"]).refused(3, &["`batsh` (did you mean `batch`?)"]);
}

#[test]
fn no_color_is_heeded() {
    let of = |no_color: Option<&str>| {
        let mut command = common::cli(&["inspct"]);
        command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR");
        no_color.map(|value| command.env("NO_COLOR", value));
        String::from_utf8(command.output().unwrap().stderr).unwrap()
    };
    assert!(of(None).contains('\x1b'), "otherwise this test finds nothing");
    assert!(!of(Some("1")).contains('\x1b'));
}

#[test]
fn quantized_models_are_evaluated_in_integers_and_inspected_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let weights = network(dir.path());
    let folder = data(dir.path(), &records(60), &records(40));
    let base = ["--weights", text(&weights), "--data", text(&folder), "--json"];
    let ptq = ["ptq", "--bits", "W3A4", "--method", "symmetric", "--out", "ptq"];
    let made = run_in(dir.path(), &[&ptq[..], &base].concat()).json();
    let model = dir.path().join(made["model"].as_str().unwrap());

    let eval = |more: &[&str]| {
        let base = ["eval", "--weights", text(&model), "--data", text(&folder), "--json"];
        run_in(dir.path(), &[&base[..], more].concat()).json()
    };
    let own = eval(&[]);
    assert_eq!((&own["top1"], &own["arithmetic"]), (&made["top1_int"], &"integer".into()));
    assert_eq!((&own["bits"], &own["method"]), (&"W3A4".into(), &"symmetric".into()));
    assert_eq!(own["weights_bytes"], made["model_bytes"]);
    assert_eq!(eval(&["--arithmetic", "simulated"])["top1"], made["top1_simulated"]);
    let wrong = ["eval", "--weights", text(&weights), "--data", text(&folder), "--arithmetic", "integer"];
    run_in(dir.path(), &wrong).refused(3, &["holds a float network", "cli ptq"]);

    let inspect = |more: &[&str]| {
        let base = ["inspect", "--weights", text(&model), "--data", text(&folder), "--images", "8", "--json"];
        run_in(dir.path(), &[&base[..], more].concat()).json()
    };
    let own = inspect(&["--out", "own"]);
    let layers = own["layers"].as_array().unwrap();
    assert!(layers[0]["bits"].is_null() && layers[0]["scale"].is_null(), "the course's policy spares conv1");
    assert!(layers[1..].iter().all(|l| l["bits"] == 3 && l["activation"]["bits"] == 4));
    let asked = inspect(&["--bits", "5", "--out", "asked"]);
    assert!(
        asked["layers"].as_array().unwrap().iter().all(|l| l["bits"] == 5 && l["activation"]["bits"] == 5)
    );
}
