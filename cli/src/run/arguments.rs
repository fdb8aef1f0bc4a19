//! What holds for the arguments of every verb: the values that are completed and listed, negative numbers, and what is said
//! of a value that is mistyped.

use std::any::TypeId;
use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command, Error, ValueHint};
use engine::nearest::nearest;
use models::formats::exported::Names;
use quant::pipeline::sequence::STEPS;
use quant::scale::{ALIASES, TABLE};
use quant::{ActivationRule, Granularity, Policy, ScaleRule, Sequence};

/// The command line with what holds for all arguments.
pub fn described(command: Command) -> Command {
    command.mut_args(argument).mut_subcommands(described)
}

fn argument(arg: Arg) -> Arg {
    if !arg.get_action().takes_values() {
        return arg;
    }
    let takes_path = is::<PathBuf>(&arg);
    let arg = listed(arg);
    if arg.is_positional() || takes_path {
        return arg;
    }
    // `--epochs -1` is a value that --epochs refuses by its name, not a flag `-1`.
    let arg = arg.allow_negative_numbers(true);
    // Where there are no names, shells have nothing to offer: no files in any case.
    if arg.get_possible_values().is_empty() { arg.value_hint(ValueHint::Other) } else { arg }
}

/// A width from 1 to 16: one number, where other verbs take a pair as `W4A4`.
///
/// # Errors
/// What a width is.
pub fn width(text: &str) -> Result<u32, String> {
    let expected = || "expected the bits of a code, one number from 1 to 16, such as 4".to_owned();
    text.parse().ok().filter(|bits| (1..=16).contains(bits)).ok_or_else(expected)
}

/// Whether the values of `arg` are of type `T`.
fn is<T: 'static>(arg: &Arg) -> bool {
    arg.get_value_parser().type_id() == TypeId::of::<T>()
}

/// The argument with the values it takes, where its type has names for them.
fn listed(arg: Arg) -> Arg {
    if is::<ScaleRule>(&arg) {
        arg.value_parser(Named::<ScaleRule>::of(scale_rules))
    } else if is::<ActivationRule>(&arg) {
        arg.value_parser(Named::<ActivationRule>::of(|| {
            let average = "a moving average of each batch's largest value, as in training";
            [vec![PossibleValue::new("moving_average").help(average)], scale_rules()].concat()
        }))
    } else if is::<Policy>(&arg) {
        arg.value_parser(Named::<Policy>::of(|| plain(&["course", "product"])))
    } else if is::<Granularity>(&arg) {
        arg.value_parser(Named::<Granularity>::of(|| plain(&["per_tensor", "per_channel"])))
    } else if is::<Sequence>(&arg) {
        arg.value_parser(Named::<Sequence>::of(|| {
            plain(&[&["none"][..], &STEPS.map(|(_, name)| name)].concat())
        }))
    } else if is::<Names>(&arg) {
        arg.value_parser(Named::<Names>::of(|| plain(&["downsample", "shortcut"])))
    } else {
        arg
    }
}

fn plain(names: &[&'static str]) -> Vec<PossibleValue> {
    names.iter().map(PossibleValue::new).collect()
}

/// The rules of [`TABLE`] with what they do and what else they are called.
fn scale_rules() -> Vec<PossibleValue> {
    let value = |rule: ScaleRule| {
        let others: Vec<&str> =
            ALIASES.iter().filter(|(_, of)| *of == rule.name).map(|(name, _)| *name).collect();
        let also = if others.is_empty() { String::new() } else { format!(" (or {})", others.join(", ")) };
        PossibleValue::new(rule.name).help(format!("{}{also}", rule.summary)).aliases(others)
    };
    TABLE.map(value).to_vec()
}

/// Reads a `T` from its name; help and completions list the names.
#[derive(Clone)]
struct Named<T> {
    read: fn(&str) -> Result<T, String>,
    values: fn() -> Vec<PossibleValue>,
}

impl<T: FromStr<Err: Display>> Named<T> {
    fn of(values: fn() -> Vec<PossibleValue>) -> Self {
        Self { read: |name| name.parse().map_err(|e: T::Err| e.to_string()), values }
    }
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Named<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        self.read.parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.values)().into_iter()))
    }
}

/// The error with the nearest of the values that there are, where it is about a value that is none of them.
pub fn with_nearest(mut error: Error) -> Error {
    let (given, known) = (error.get(ContextKind::InvalidValue), error.get(ContextKind::ValidValue));
    let (Some(ContextValue::String(given)), Some(ContextValue::Strings(known))) = (given, known) else {
        return error;
    };
    let near = nearest(given, &known.iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned);
    if let Some(near) = near.filter(|_| error.kind() == ErrorKind::InvalidValue) {
        error.insert(ContextKind::SuggestedValue, ContextValue::String(near));
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> String {
        let parsed = crate::command().try_get_matches_from([&["cli"], words].concat());
        with_nearest(parsed.expect_err("it is wrong")).to_string()
    }

    #[test]
    fn a_value_that_is_mistyped_is_answered_with_the_nearest() {
        for (words, text) in [
            (["qat", "--weight-step", "lqs"], "similar value exists: 'lsq'"),
            (["table", "--modes", "pqt"], "similar value exists: 'ptq'"),
            (["ptq", "--activation-rule", "mze"], "did you mean `mse`?"),
            (["ptq", "--policy", "curse"], "did you mean `course`?"),
        ] {
            assert!(of(&words).contains(text), "{}", of(&words));
        }
    }

    #[test]
    fn a_width_is_one_number() {
        for verb in ["inspect", "calibrate"] {
            for bits in ["W4A4", "0", "17", "-1"] {
                let text = of(&[verb, "--bits", bits]);
                assert!(text.contains(bits) && text.contains("one number from 1 to 16"), "{text}");
            }
        }
    }

    #[test]
    fn a_negative_number_is_a_value() {
        for words in [["qat", "--epochs", "-1"], ["train", "--batch", "-8"], ["ptq", "--limit", "-1"]] {
            assert!(
                of(&words).contains(&format!("invalid value '{}' for '{}", words[2], words[1])),
                "{}",
                of(&words)
            );
        }
    }

    #[test]
    fn rules_are_listed_with_what_they_do() {
        let mut command = crate::command();
        for verb in ["ptq", "qat", "search", "inspect"] {
            let help = command.find_subcommand_mut(verb).expect("a verb").render_long_help().to_string();
            assert!(help.contains("- sawb:") && help.contains("(or max, max_abs)"), "{help}");
        }
    }
}
