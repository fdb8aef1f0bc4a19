//! Integer-only model files through the program: made, evaluated, inspected, and used on pictures.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{data, network, records, run_in, text};

/// `ptq --policy product` of a small network.
fn made(dir: &Path, folder: &Path, bits: &str, more: &[&str]) -> serde_json::Value {
    let weights = network(dir);
    let base = ["ptq", "--json", "--policy", "product", "--bits", bits, "--weights", text(&weights)];
    run_in(dir, &[&base[..], &["--data", text(folder)], more].concat()).json()
}

/// A picture of one colour.
fn png(path: &Path, width: u32, height: u32) -> PathBuf {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let samples = [40, 90, 200].repeat((width * height) as usize);
    encoder.write_header().unwrap().write_image_data(&samples).unwrap();
    fs::write(path, bytes).unwrap();
    path.to_path_buf()
}

#[test]
fn policy_product_saves_a_small_file_that_gives_what_was_measured() {
    let dir = tempfile::tempdir().unwrap();
    let folder = data(dir.path(), &records(60), &records(40));
    let json = made(dir.path(), &folder, "W4A4", &["--out", "a"]);
    for key in ["top1_float", "top1_int", "top1_layers", "top1_simulated", "agreement"] {
        assert!((0.0..=100.0).contains(&json[key].as_f64().unwrap()), "{key}");
    }
    let path = |key: &str| dir.path().join(json[key].as_str().unwrap());
    let (model, latent) = (path("model"), path("latent"));
    let size = fs::metadata(&model).unwrap().len();
    assert_eq!(json["model_bytes"], size);
    assert!(size < fs::metadata(&latent).unwrap().len() / 3, "{size}");

    let base = ["eval", "--weights", text(&model), "--data", text(&folder), "--json"];
    let eval = run_in(dir.path(), &base).json();
    assert_eq!((&eval["top1"], &eval["images"]), (&json["top1_int"], &40.into()));
    assert_eq!((&eval["weights_bytes"], &eval["arithmetic"]), (&size.into(), &"integer_only".into()));
    assert_eq!(eval["about"]["command"].as_str().unwrap().matches("--policy product").count(), 1);
    for flag in [["--normalization", "true"], ["--arithmetic", "float"]] {
        run_in(dir.path(), &[&base[..], &flag].concat()).refused(2, &[flag[0], "integer-only network"]);
    }
    // The float weights are a checkpoint, which gives the same integers layer by layer.
    let floats = ["eval", "--weights", text(&latent), "--data", text(&folder), "--json"];
    assert_eq!(run_in(dir.path(), &floats).json()["top1"], json["top1_layers"]);
    run_in(dir.path(), &["ptq", "--weights", text(&model)]).refused(3, &["integer-only network", "latent"]);

    let inspect = run_in(dir.path(), &["inspect", "--weights", text(&model), "--json"]).json();
    let nodes = inspect["nodes"].as_array().unwrap();
    assert_eq!((nodes.len(), &inspect["weights_bytes"]), (12, &size.into())); // the image, ten layers, the pool
    assert_eq!(
        (&nodes[1]["op"], &nodes[1]["bits"], &nodes[2]["bits"]),
        (&"conv2d".into(), &8.into(), &4.into())
    );
    assert!(nodes[2]["outputs"][0]["shift"].is_u64() && nodes[2]["bytes"] == 1152);
    run_in(dir.path(), &["inspect", "--weights", text(&model), "--bits", "4"]).refused(2, &["--bits"]);

    let wide = made(dir.path(), &folder, "W4A4", &["--out", "b", "--residual-bits", "16"]);
    assert_eq!(wide["residual_bits"], 16);
    let course = ["ptq", "--residual-bits", "16"];
    run_in(dir.path(), &course).refused(2, &["--residual-bits", "--policy product"]);
    assert_eq!(run_in(dir.path(), &["ptq", "--policy", "product", "--residual-bits", "9"]).code, 2);
}

#[test]
fn qat_gives_the_last_epochs_integer_only_network_and_keeps_the_best_ones() {
    let dir = tempfile::tempdir().unwrap();
    let folder = data(dir.path(), &records(60), &records(40));
    let weights = network(dir.path());
    let base = ["qat", "--json", "--policy", "product", "--epochs", "2", "--batch", "20", "--out", "q"];
    let arguments = [&base[..], &["--weights", text(&weights), "--data", text(&folder)]].concat();
    let json = run_in(dir.path(), &arguments).json();
    assert!(json["top1_layers"].is_number() && dir.path().join(json["latent"].as_str().unwrap()).exists());
    for (file, top1, epoch) in
        [("model", "top1_int", "2".to_string()), ("model_best", "top1_best", json["epoch_best"].to_string())]
    {
        let model = dir.path().join(json[file].as_str().unwrap());
        assert_eq!(model.parent().unwrap().ends_with("last"), file == "model", "{json}");
        let eval = ["eval", "--weights", text(&model), "--data", text(&folder), "--json"];
        let eval = run_in(dir.path(), &eval).json();
        assert_eq!((&eval["top1"], &eval["about"]["epoch"]), (&json[top1], &epoch.into()), "{file}");
        let size = fs::metadata(&model).unwrap().len();
        assert!(file == "model_best" || json["model_bytes"] == size, "{json}");
    }
}

#[test]
fn pictures_and_records_are_classified_in_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let folder = data(dir.path(), &records(60), &records(40));
    // What a file is, its contents say.
    let picture = png(&dir.path().join("picture.bin"), 300, 200);
    let same = png(&dir.path().join("same.txt"), 32, 32);
    let batch = folder.join("test_batch.bin");
    let run = |more: &[&str]| run_in(dir.path(), &[&["infer", "--json"], more].concat());
    let result = run(&[text(&picture), text(&same), text(&batch), "--limit", "2", "--top", "3"]);
    assert!(result.stderr.contains("300x200, its middle 200x200 averaged to 32x32"), "{result:?}");
    let json = result.json();
    let images = json["images"].as_array().unwrap();
    assert_eq!(images.len(), 4);
    assert_eq!(images[0]["top"], images[1]["top"], "one colour, large or small");
    assert!(images[0].get("index").is_none() && images[0].get("label").is_none());
    assert_eq!((&images[3]["index"], &images[3]["label"]), (&1.into(), &1.into()));
    for image in images {
        let top = image["top"].as_array().unwrap();
        let p: Vec<f64> = top.iter().map(|t| t["probability"].as_f64().unwrap()).collect();
        assert!(p.len() == 3 && p[0] >= p[1] && p[1] >= p[2] && p.iter().sum::<f64>() <= 1.0 + 1e-9);
        assert!(top[0]["class"].is_u64() && top[0]["name"].is_string());
        assert!(image["microseconds"].as_f64().unwrap() > 0.0);
    }
    assert!(
        json["model"].as_str().unwrap().ends_with("ResNet20_W8A8.safetensors") && json["isa"].is_string()
    );
    if cfg!(target_os = "linux") {
        let resident = json["resident_bytes"].as_u64().unwrap();
        assert!(resident <= 16 << 20, "{resident} bytes");
    }
    // Ten records where nothing is said; one by its number, with another model.
    assert_eq!(run(&[text(&batch)]).json()["images"].as_array().unwrap().len(), 10);
    let made = made(dir.path(), &folder, "W4A4", &["--out", "a"]);
    let one = run(&[text(&batch), "--index", "7", "--model", made["model"].as_str().unwrap()]).json();
    assert_eq!((one["images"].as_array().unwrap().len(), &one["images"][0]["label"]), (1, &7.into()));
}

#[test]
fn bad_images_and_models_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let whole = fs::read(png(&dir.path().join("a.png"), 32, 32)).unwrap();
    let mut label = records(3);
    label[3073] = 11;
    let cases = [
        (write("cut.png", &whole[..whole.len() / 2]), "not a complete PNG picture"),
        (write("notes.png", b"hello"), "is not a PNG, JPEG or PPM picture"),
        (write("empty.jpg", b""), "is not a PNG, JPEG or PPM picture"),
        (write("huge.ppm", b"P6\n1000000 1000000\n255\n"), "1000000x1000000 pixels"),
        (write("label.bin", &label), "record 1 has label 11"),
        (write("short.bin", &label[..5000]), "not whole CIFAR-10 records"),
        (dir.path().join("absent.png"), "cannot open"),
    ];
    for (path, message) in &cases {
        let name = path.file_name().unwrap().to_str().unwrap();
        run_in(dir.path(), &["infer", "--json", text(path)]).refused(3, &[name, message]);
    }
    let good = png(&dir.path().join("good.png"), 32, 32);
    let batch = write("good.bin", &records(3));
    run_in(dir.path(), &["infer", text(&good), "--index", "5"]).refused(2, &["--index 5", "is a picture"]);
    run_in(dir.path(), &["infer", text(&good), "--limit", "5"]).refused(2, &["--limit 5", "none is given"]);
    let both = ["--json", "infer", text(&good), text(&batch), "--limit", "2", "--repeat", "1"];
    assert_eq!(run_in(dir.path(), &both).json()["images"].as_array().map(Vec::len), Some(3));
    run_in(dir.path(), &["infer", text(&batch), "--index", "3"]).refused(2, &["--index 3", "has 3 records"]);
    assert_eq!(run_in(dir.path(), &["infer"]).code, 2);

    let model =
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/ResNet20_W8A8.safetensors")).unwrap();
    let course = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/qat/ResNet20_W2A8.safetensors");
    let course = PathBuf::from(course);
    let broken = write("broken.safetensors", &model[..model.len() - 100]);
    let mut changed = model.clone();
    let version = br#"\"version\":"#;
    let at = model.windows(version.len()).position(|w| w == version).unwrap();
    changed[at + version.len()] = b'7';
    let changed = write("changed.safetensors", &changed);
    for (path, message) in [
        (&broken, "not a complete safetensors file"),
        (&changed, "version 7"),
        (&network(dir.path()), "is a float network, not an integer-only network; make one"),
        (&course, "is a quantized network with a layer in floats (policy course)"),
    ] {
        let refused = run_in(dir.path(), &["infer", text(&good), "--model", text(path)]);
        refused.refused(3, &[path.file_name().unwrap().to_str().unwrap(), message]);
    }
    for verb in ["eval", "inspect"] {
        run_in(dir.path(), &[verb, "--weights", text(&broken)])
            .refused(3, &["broken.safetensors", "complete"]);
        run_in(dir.path(), &[verb, "--weights", text(&changed)])
            .refused(3, &["changed.safetensors", "version 7"]);
    }
}

#[test]
fn bench_of_the_integer_only_network() {
    let dir = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| run_in(dir.path(), &[&["bench", "--json", "--repeat", "2"], more].concat());
    let json = run(&["infer", "--bits", "W4A4", "--batch", "1", "--layers", "--isa", "scalar"]).json();
    for key in ["images_per_s", "gops", "peak", "percent_of_peak", "microseconds"] {
        assert!(json[key].as_f64().unwrap() > 0.0, "{key}");
    }
    assert_eq!(
        (&json["isa"], &json["threads"], &json["bits"]),
        (&"scalar".into(), &1.into(), &"W4A4".into())
    );
    let layers = json["layers"].as_array().unwrap();
    let shares: f64 = layers.iter().map(|l| l["percent_of_time"].as_f64().unwrap()).sum();
    assert!(layers.len() > 20 && (shares - 100.0).abs() < 1e-6);
    let batch = run(&["infer", "--bits", "W8A8", "--batch", "4", "--threads", "2"]).json();
    assert_eq!((&batch["threads"], &batch["microseconds"]), (&2.into(), &serde_json::Value::Null));
    let gemm = run(&["gemm", "--shape", "64,64,64"]).json();
    assert!(gemm["peak"].as_f64().unwrap() > 0.0 && gemm["percent_of_peak"].as_f64().unwrap() > 0.0);
    run(&["infer", "--layers"]).refused(2, &["--layers"]);
    run(&["infer", "--bits", "W9A8"]).refused(2, &["W9A8", "at most 8 bits"]);
    run(&["infer", "--bits", "W8A8", "--isa", "mmx"]).refused(2, &["mmx", "scalar"]);
}

/// A valid network, but of images that no data set here has: each picture would be read as four of its images.
#[test]
fn networks_of_other_images_are_refused() {
    use models::data::normalization::Normalization;
    use quant::int_graph::lower::{Source, lower};
    use quant::{Policy, QuantConfig, Quantizer};

    let dir = tempfile::tempdir().unwrap();
    let network = models::Network::fresh(8, models::Shortcut::B, Normalization::TRUE, 3).unwrap();
    let set = models::data::synthetic::noise_images(16, 4, &Normalization::TRUE, 1).unwrap();
    let images = models::data::loader::Loader::evaluation(&set, 8, network.normalization);
    let config = QuantConfig { policy: Policy::Product, ..QuantConfig::default() };
    let q = models::QuantizedNetwork::calibrate(&network, &Quantizer::new(config), images.epoch(0)).unwrap();
    let pixel = |c: usize, p: u8| Normalization::TRUE.apply(c, p);
    let (graph, params) = (&q.network.graph, &q.network.params);
    let (quantization, image) = (&q.quantization, [16, 16, 3]);
    let graph = lower(&Source { graph, params, quantization, image, pixel: &pixel }).unwrap();
    let path = dir.path().join("small.safetensors");
    models::formats::int_model::write(&path, &graph, &Default::default()).unwrap();
    let records = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/assets/cifar10-slice/test_batch.bin");
    for words in [["eval", "--limit", "20", "--weights"], ["infer", records, "--limit=2", "--model"]] {
        run_in(dir.path(), &[&words[..], &[text(&path)]].concat())
            .refused(3, &["small.safetensors", "takes images [16, 16, 3], not 32x32 in colour"]);
    }
}
