//! The quantization lab's command line: one file per verb.
//!
//! A verb is a file in [`verbs`] with `#[derive(Args, Serialize, Deserialize)] pub struct XArgs` and
//! `pub fn run(args: XArgs, context: &Context) -> anyhow::Result<()>`, and one line in [`Verb`] and in
//! [`dispatch`]. What they share in running is in [`run`]: global options, settings, run folders, exit codes; what they
//! share in showing is in [`show`]: tables, plots, pages. The page about runs is [`report`]'s.
//! The examples of `--help` are in [`examples`].
//!
//! The program has two names, which do the same: `cli`, its package's, and `quantlab`, by which it is installed.

mod examples;
mod report;
mod run;
mod show;
mod verbs;

use std::path::Path;
use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use run::context::{Context, GlobalArgs};
use run::{arguments, exit, program, settings};
use verbs::{
    bench, calibrate, completions, data, doctor, eval, export, infer, inspect, man, ptq, qat, search, table,
    train,
};

/// A quantization lab for neural networks: train, calibrate, quantize, fine-tune, search, and run the result
/// in integers only.
#[derive(Debug, Parser)]
#[command(name = "cli", version, arg_required_else_help = true, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Train a float network from scratch.
    Train(train::TrainArgs),
    /// Measure the accuracy of a network.
    Eval(eval::EvalArgs),
    /// Classify pictures with an integer-only network.
    Infer(infer::InferArgs),
    /// Compare the rules that choose a scale: error and bias of each, and the optimum.
    Calibrate(calibrate::CalibrateArgs),
    /// Quantize a trained network without training (post-training quantization).
    Ptq(ptq::PtqArgs),
    /// Fine-tune a network that is quantized as it learns (quantization-aware training).
    Qat(qat::QatArgs),
    /// Search the bits of each layer for the smallest network above an accuracy.
    Search(search::SearchArgs),
    /// Fill Table 1: bits x (PTQ, QAT) x method.
    Table(table::TableArgs),
    /// Look into a network: layers, shapes, bits, scales, errors, sizes, histograms.
    Inspect(inspect::InspectArgs),
    /// Write one page about runs: accuracies, curves, layers, confusions, pictures.
    Report(verbs::report::ReportArgs),
    /// Measure the speed of training, classification and matrix products.
    Bench(bench::BenchArgs),
    /// Write a network in a format of other programs: ONNX, PyTorch, safetensors.
    Export(export::ExportArgs),
    /// Verify a data set; fetch or slice CIFAR-10; write pictures.
    Data(data::DataArgs),
    /// Say what this machine has: processor, kernels chosen, measured peaks, data found.
    Doctor(doctor::DoctorArgs),
    /// Print the completions of a shell.
    Completions(completions::CompletionsArgs),
    /// Print the manual page of a verb, or write all of them.
    Man(man::ManArgs),
}

/// Reads the command line, does what it asks, and returns the exit code; `name` is the program's.
pub fn run_as(name: &'static str) -> ExitCode {
    program::remember(name);
    let parsed = command().try_get_matches();
    let matches = parsed.unwrap_or_else(|e| arguments::with_nearest(e).exit()); // with 2, or 0 after --help
    match start(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error),
    }
}

/// The verbs whose settings [`check_config`] knows.
pub const CONFIGURED: [&str; 4] = ["train", "qat", "table", "search"];

/// Whether `verb` would take the file at `path` as its `--config`; the reason in one line if not.
///
/// # Errors
/// If the file cannot be read, is no TOML, or has a key or a value that the verb does not know.
pub fn check_config(verb: &str, path: &Path) -> Result<(), String> {
    let read = match verb {
        "train" => settings::from_file::<train::TrainArgs>(verb, path).map(|_| ()),
        "qat" => settings::from_file::<qat::QatArgs>(verb, path).map(|_| ()),
        "table" => settings::from_file::<table::TableArgs>(verb, path).map(|_| ()),
        "search" => settings::from_file::<search::SearchArgs>(verb, path).map(|_| ()),
        _ => return Err(format!("`{verb}` is none of {}", CONFIGURED.join(", "))),
    };
    read.map_err(|e| exit::line(&e))
}

/// The command line.
fn command() -> Command {
    examples::added(arguments::described(Cli::command().name(program::name())))
}

fn start(matches: &ArgMatches) -> anyhow::Result<()> {
    let cli = Cli::from_arg_matches(matches).map_err(|e| exit::Failure::Usage(e.to_string()))?;
    settings::expect_text()?;
    let (name, verb_matches) = matches.subcommand().expect("clap requires a verb");
    let context = Context::new(&cli.global, name, verb_matches)?;
    match cli.verb {
        // One image at a time needs neither threads nor their memory.
        Verb::Infer(_) => dispatch(cli.verb, &context),
        verb => context.install(|| dispatch(verb, &context)),
    }
}

/// Runs the verb with its settings resolved.
fn dispatch(verb: Verb, context: &Context) -> anyhow::Result<()> {
    match verb {
        Verb::Train(args) => train::run(context.settings(args)?, context),
        Verb::Eval(args) => eval::run(context.settings(args)?, context),
        Verb::Infer(args) => context.without_settings().and_then(|()| infer::run(args, context)),
        Verb::Calibrate(args) => calibrate::run(context.settings(args)?, context),
        Verb::Ptq(args) => ptq::run(context.settings(args)?, context),
        Verb::Qat(args) => qat::run(context.settings(args)?, context),
        Verb::Search(args) => search::run(context.settings(args)?, context),
        Verb::Table(args) => table::run(context.settings(args)?, context),
        Verb::Inspect(args) => inspect::run(context.settings(args)?, context),
        Verb::Report(args) => context.without_settings().and_then(|()| verbs::report::run(args, context)),
        Verb::Bench(args) => context.without_settings().and_then(|()| bench::run(args, context)),
        Verb::Export(args) => context.without_settings().and_then(|()| export::run(args, context)),
        Verb::Data(args) => context.without_settings().and_then(|()| data::run(args, context)),
        Verb::Doctor(args) => context.without_settings().and_then(|()| doctor::run(args, context)),
        Verb::Man(args) => context.without_settings().and_then(|()| man::run(args, context)),
        Verb::Completions(args) => context.without_settings().and_then(|()| completions::run(args, context)),
    }
}

#[cfg(test)]
#[path = "../tests/common/documented.rs"]
mod documented;

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::documented::{Documented, commands, filled};
    use super::*;

    #[test]
    fn every_documented_command_parses() {
        for (shown, command) in commands() {
            let Documented::Cli(words) = command else { continue };
            let words = std::iter::once("cli".to_owned()).chain(filled(&words));
            if let Err(error) = Cli::try_parse_from(words) {
                assert_eq!(error.kind(), ErrorKind::DisplayHelp, "{shown}\n{error}");
            }
        }
    }
}
