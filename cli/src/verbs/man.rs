//! `man`: manual pages, of the program and of each verb.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Command};
use clap_mangen::Man;
use models::formats::atomic;

use crate::run::context::Context;
use crate::run::exit::Failure;

/// Arguments of `man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The verb [default: the program itself]
    verb: Option<String>,
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
        let command = match args.verb.as_deref() {
            None => command,
            Some(verb) => command.find_subcommand(verb).cloned().ok_or_else(|| unknown(&command, verb))?,
        };
        let page = page(command)?;
        if context.json {
            return context.result(&serde_json::json!({"page": String::from_utf8(page)?}));
        }
        return Ok(std::io::stdout().write_all(&page)?);
    };
    std::fs::create_dir_all(&folder).map_err(|e| models::Error::io("create", &folder, e))?;
    let mut written = Vec::new();
    for command in std::iter::once(&command).chain(command.get_subcommands()) {
        // `quantlab-ptq`, say.
        let name = command.get_display_name().unwrap_or(command.get_name());
        let (path, command) = (folder.join(format!("{name}.1")), command.clone());
        atomic::write(&path, &page(command)?)?;
        written.push(path);
    }
    context.say(format_args!("{} pages in {}", written.len(), folder.display()))?;
    context.result(&serde_json::json!({"pages": written}))
}

fn unknown(command: &Command, verb: &str) -> Failure {
    let known: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
    Failure::Usage(format!("there is no verb `{verb}`{}", engine::nearest::did_you_mean(verb, &known)))
}

/// The page, in roff.
fn page(command: Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command).render(&mut page)?;
    Ok(page)
}
