//! `doctor`: what this machine has and what the program makes of it: processor, instruction sets, the kernels that are
//! chosen and what they reach at most, the files that are found. The first thing to send with a report of a bug.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use engine::kernel::{Isa, peak_flops};
use models::data::data_set::DataSet;
use quant::kernel::{self, KERNELS, peak_ops};
use serde_json::{Value, json};

use crate::run::assets;
use crate::run::context::Context;

/// Arguments of `doctor`.
#[derive(Args, Clone, Debug)]
pub struct DoctorArgs {
    /// A data set to be looked at too [default: the slice of CIFAR-10 that comes with the program]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// How long each peak is measured.
const MEASURED: Duration = Duration::from_millis(100);
/// Widths of weights, and the largest absolute value that their codes have: kernels are chosen by it.
const WEIGHTS: [(&str, i32); 3] = [("1-4", 8), ("5-7", 64), ("8", 128)];

/// Looks and prints. What is missing of what comes with the program is a line, not an error.
///
/// # Errors
/// If the data set that was named cannot be read, or stdout is closed.
pub fn run(args: DoctorArgs, context: &Context) -> Result<()> {
    let data = data(args.data.as_deref())?;
    let say = |what: &str, found: String| context.say(format_args!("{what:<12}{found}"));
    let (version, arch, system) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH, std::env::consts::OS);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let processor = processor();
    say("program", format!("version {version}, {arch}, {system}"))?;
    let name = processor.as_deref().unwrap_or("unknown");
    say("processor", format!("{name}; {cores} cores, {} in use", context.threads))?;

    let sets: Vec<&str> = Isa::available().map(Isa::name).collect();
    let isa = Isa::active();
    let flops = peak_flops(isa, MEASURED);
    say("floats", format!("{} of {}", isa.name(), sets.join(", ")))?;
    say("", format!("at most {:.1} GFLOP/s a thread", flops / 1e9))?;

    let all = || KERNELS.iter().filter(|kernel| kernel.max_weight >= 128 && kernel.available());
    let integer_sets: Vec<&str> = all().map(|kernel| kernel.isa).collect();
    say("integers", format!("{} of {}", kernel::active().isa, integer_sets.join(", ")))?;
    let mut chosen = Vec::new();
    for (bits, max_weight) in WEIGHTS {
        let kernel = kernel::select(max_weight);
        let ops = peak_ops(kernel, MEASURED);
        let line =
            format!("weights of {bits} bits: {}, at most {:.1} GOP/s a thread", kernel.name, ops / 1e9);
        say("", line)?;
        chosen.push(json!({"weight_bits": bits, "kernel": kernel.name, "peak_gops": ops / 1e9}));
    }
    let forced = std::env::var("QUANT_ISA").ok().filter(|name| !name.is_empty());
    say("QUANT_ISA", forced.clone().unwrap_or_else(|| "not set: the best is taken".into()))?;

    let network = found(assets::weights(None));
    let model = found(assets::model(None));
    say("network", line(&network))?;
    say("model", line(&model))?;
    say("data", line(&data))?;
    context.result(&json!({
        "version": version,
        "arch": arch,
        "system": system,
        "processor": processor,
        "cores": cores,
        "threads": context.threads,
        "float": {"isa": isa.name(), "available": sets, "peak_gflops": flops / 1e9},
        "integer": {"isa": kernel::active().isa, "available": integer_sets, "chosen": chosen},
        "quant_isa": forced,
        "network": network,
        "model": model,
        "data": data,
    }))
}

/// The processor's name, where the system tells (Linux on x86).
fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// A path, or why there is none.
fn found(path: Result<PathBuf>) -> Value {
    match path {
        Ok(path) => json!({"path": path}),
        Err(error) => json!({"missing": error.to_string()}),
    }
}

/// How many images there are, or what is wrong with the folder that comes with the program.
fn data(given: Option<&Path>) -> Result<Value> {
    let opened = assets::data(given).and_then(|folder| Ok(DataSet::open(folder, &mut |_, _| ())?));
    match opened {
        Ok(data) => {
            Ok(json!({"path": data.folder, "train_images": data.train.len(), "test_images": data.test.len()}))
        }
        Err(error) if given.is_some() => Err(error),
        Err(error) => Ok(json!({"missing": error.to_string()})),
    }
}

/// For people.
fn line(found: &Value) -> String {
    let text = |key: &str| found[key].as_str().unwrap_or_default().to_owned();
    match (found.get("missing"), found.get("train_images")) {
        (Some(_), _) => format!("not found: {}", text("missing")),
        (_, Some(train)) => {
            format!("{}: {train} training, {} test images", text("path"), found["test_images"])
        }
        _ => text("path"),
    }
}
