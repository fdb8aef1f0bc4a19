//! The examples at the end of each verb's `--help`: two for each, a plain one and one that shows what the verb is for.

use clap::Command;

use crate::run::program;

/// A verb (and what is below it), and arguments with what they do.
type Examples = (&'static str, [(&'static str, &'static str); 2]);

/// In the order of the verbs.
const EXAMPLES: &[Examples] = &[
    (
        "train",
        [
            ("--depth 8 --epochs 5", "a small network on the bundled images"),
            (
                "--data cifar10 --out run",
                "all of CIFAR-10, by the default recipe; --resume run goes on after Ctrl-C",
            ),
        ],
    ),
    (
        "eval",
        [
            ("", "the bundled network on the bundled test images"),
            (
                "--weights model_best.pth.tar --data cifar10 --normalization imagenet",
                "somebody's PyTorch file",
            ),
        ],
    ),
    (
        "infer",
        [
            ("photo.jpg --top 3", "the three most probable classes of a picture"),
            (
                "cifar10/test_batch.bin --index 17 --model run/ResNet20_W4A4.safetensors",
                "one record, another integer-only model",
            ),
        ],
    ),
    (
        "calibrate",
        [
            ("--bits 2,4,8", "every scale rule on samples that are made up"),
            ("--input activations.npy --bits 4 --json", "on your numbers, for a script"),
        ],
    ),
    (
        "ptq",
        [
            ("--bits W4A4", "the bundled network to 4 bits"),
            (
                "--weights network.safetensors --data cifar10 --bits W8A8 --policy product",
                "yours, to integers only",
            ),
        ],
    ),
    (
        "qat",
        [
            ("--bits W4A4 --epochs 8", "the bundled network, fine-tuned at 4 bits"),
            (
                "--bits W2A2 --data cifar10 --weight-step lsq --activation-step lsq",
                "with steps that are learned",
            ),
        ],
    ),
    (
        "search",
        [
            ("--floor 90", "the smallest network above 90% of the bundled test images"),
            ("--data cifar10 --max-bits 4 --out run", "of at most 4 bits a layer, on all of CIFAR-10"),
        ],
    ),
    (
        "search merge",
        [
            ("s1 s2 s3 --out whole", "three shards of a search, and its end"),
            ("shards/1 shards/2 --out whole --json", "two, for a script"),
        ],
    ),
    (
        "table",
        [
            ("--bits W8A8,W4A4 --epochs 1", "a short one"),
            ("--resume run", "what is missing in a table that was stopped"),
        ],
    ),
    (
        "table merge",
        [
            ("t1 t2 t3 --out table", "three shards of a table, and the page of the whole"),
            ("shards/1 shards/2 --out table --json", "two, for a script"),
        ],
    ),
    (
        "inspect",
        [
            ("--bits 4", "what 4 bits do to each layer of the bundled network"),
            ("--weights network.safetensors --layers conv1,fc", "two layers of yours"),
        ],
    ),
    (
        "report",
        [
            ("run", "one run as a page, report.html"),
            ("ptq-run qat-run --out both.html", "two runs side by side"),
        ],
    ),
    (
        "bench",
        [
            ("infer --bits W8A8 --threads 1", "classification in integers on one thread"),
            ("gemm --shape 1024,1024,1024", "products of matrices of bytes"),
        ],
    ),
    (
        "export",
        [
            ("--to onnx --out network.onnx", "the bundled network in floats"),
            (
                "run/ResNet20_W4A4.safetensors --to onnx --out w4a4.onnx",
                "a quantized one, with its exact grids",
            ),
        ],
    ),
    (
        "data",
        [
            ("verify cifar10", "lengths, labels and balance of a folder"),
            ("fetch", "the official archive, checked"),
        ],
    ),
    (
        "data verify",
        [("", "the slice that comes with the program"), ("cifar10 --json", "your folder, for a script")],
    ),
    #[cfg(feature = "fetch")]
    (
        "data fetch",
        [("", "CIFAR-10 into the folder data"), ("sets --quiet", "into another folder, without progress")],
    ),
    (
        "data slice",
        [
            ("--data cifar10 --out slice", "200 training and 100 test images of each class"),
            ("--data cifar10 --out small --train 20 --test 10", "a smaller one, for a quick try"),
        ],
    ),
    (
        "data pictures",
        [
            ("--out pictures --per-class 10", "a few pictures of the slice that comes with the program"),
            ("--data cifar10 --out pictures", "all of a data set"),
        ],
    ),
    (
        "doctor",
        [
            ("", "what this machine has, and what the program makes of it"),
            ("--data cifar10 --json", "the same for a bug report, with your data"),
        ],
    ),
    ("completions", [("bash", "the script for bash, on stdout"), ("fish --quiet", "for fish")]),
    ("man", [("ptq", "the page of a verb, on stdout"), ("--out man1", "all pages into a folder")]),
];

/// The command line with its examples.
pub fn added(command: Command) -> Command {
    let name = program::name();
    EXAMPLES.iter().fold(command, |command, (verb, examples)| {
        let mut text = "Examples:".to_owned();
        for (arguments, what) in examples {
            let line = format!("{name} {verb} {arguments}");
            text.push_str(&format!("\n  # {what}\n  {}", line.trim_end()));
        }
        behind_help(command, &verb.split(' ').collect::<Vec<_>>(), text)
    })
}

/// Puts `text` behind the help of the command that `words` lead to.
fn behind_help(command: Command, words: &[&str], text: String) -> Command {
    match words {
        [] => command.after_help(text),
        [word, rest @ ..] => command.mut_subcommand(word, |below| behind_help(below, rest, text)),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::Cli;

    #[test]
    fn every_verb_has_two_examples_that_parse() {
        let with_actions = |verb: &Command| {
            let name = verb.get_name().to_owned();
            let actions = verb.get_subcommands().map(|action| format!("{name} {}", action.get_name()));
            std::iter::once(name.clone()).chain(actions).collect::<Vec<_>>()
        };
        let verbs: Vec<String> = Cli::command().get_subcommands().flat_map(with_actions).collect();
        let described: Vec<&str> = EXAMPLES.iter().map(|(verb, _)| *verb).collect();
        assert_eq!(verbs, described, "verbs and their examples");
        for (verb, examples) in EXAMPLES {
            for (arguments, _) in examples {
                let words = std::iter::once("cli").chain(verb.split(' ')).chain(arguments.split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{verb} {arguments}\n{error}");
                }
            }
        }
    }

    #[test]
    fn help_shows_them() {
        let mut command = crate::command();
        let help = command.find_subcommand_mut("export").expect("a verb").render_help().to_string();
        assert!(
            help.contains("Examples:\n  # the bundled network in floats\n  cli export --to onnx"),
            "{help}"
        );
    }
}
