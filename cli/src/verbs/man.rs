//! `man`: manual pages, of the program, of each verb, and of what a verb has below it.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::builder::Resettable;
use clap::{Args, Command};
use clap_mangen::Man;
use models::formats::atomic;

use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::program;

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The verb, and what is below it: `data verify` [default: the program itself]
    verb: Vec<String>,
    /// Write the pages of the program and of all verbs into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "verb")]
    out: Option<PathBuf>,
}

/// Prints or writes.
///
/// # Errors
/// If there is no such verb, or the folder cannot be written to.
pub fn run(args: ManArgs, context: &Context) -> Result<()> {
    let mut command = crate::command().disable_help_subcommand(true);
    command.build(); // flags that all verbs take stand on the verbs' pages too
    let Some(folder) = args.out else {
        let below = |command: &'_ Command, verb: &String| {
            command.find_subcommand(verb).cloned().ok_or_else(|| unknown(command, verb))
        };
        let command = args.verb.iter().try_fold(command, |command, verb| below(&command, verb))?;
        let page = page(&command)?;
        if context.json {
            return context.result(&serde_json::json!({"page": page}));
        }
        return Ok(std::io::stdout().write_all(page.as_bytes())?);
    };
    std::fs::create_dir_all(&folder).map_err(|e| models::Error::io("create", &folder, e))?;
    let mut written = Vec::new();
    for command in all(&command) {
        // `quantlab-data-verify`, say.
        let name = command.get_display_name().unwrap_or(command.get_name());
        let path = folder.join(format!("{name}.1"));
        atomic::write(&path, page(command)?.as_bytes())?;
        written.push(path);
    }
    context.say(format_args!("{} pages in {}", written.len(), folder.display()))?;
    context.result(&serde_json::json!({"pages": written}))
}

/// The command and all below it.
fn all(command: &Command) -> Vec<&Command> {
    std::iter::once(command).chain(command.get_subcommands().flat_map(all)).collect()
}

fn unknown(command: &Command, verb: &str) -> Failure {
    let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    Failure::Usage(format!("there is no verb `{verb}`{}", engine::nearest::did_you_mean(verb, &known)))
}

/// The page, in roff. The examples, which are the text behind the help, are a section of their own, line by line.
fn page(command: &Command) -> Result<String> {
    let mut page = Vec::new();
    let source = format!("{} {}", program::name(), env!("CARGO_PKG_VERSION"));
    let without_examples = command.clone().after_help(Resettable::Reset);
    Man::new(without_examples).source(source).render(&mut page)?;
    let page = String::from_utf8(page)?;
    let (before, version) = page.split_at(page.find(".SH VERSION").unwrap_or(page.len()));
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let lines: Vec<String> = help.lines().skip(1).map(|line| roff(line.trim_start())).collect();
    let examples = match lines.as_slice() {
        [] => String::new(),
        lines => format!(".SH EXAMPLES\n.nf\n{}\n.fi\n", lines.join("\n")),
    };
    Ok(format!("{before}{examples}{version}"))
}

/// A line as it is: what means something to roff is escaped.
fn roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}
