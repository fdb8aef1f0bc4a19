//! `completions`: the completions of a shell, on stdout.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use clap_complete::Shell;

use crate::run::context::Context;
use crate::run::program;

/// Arguments of `completions`.
#[derive(Args, Clone, Debug)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
///
/// # Errors
/// If stdout is closed.
pub fn run(args: CompletionsArgs, context: &Context) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), program::name(), &mut script);
    if context.json {
        let script = String::from_utf8(script)?;
        return context.result(&serde_json::json!({"shell": args.shell.to_string(), "script": script}));
    }
    std::io::stdout().write_all(&script)?;
    Ok(())
}
