//! `data`: verify, fetch or slice the CIFAR-10 data set.

use anyhow::Result;
use clap::Args;

use crate::context::Context;
use crate::exit::Failure;

/// Arguments of `data`.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {}

/// Runs the verb.
///
/// # Errors
/// Always: it is not there yet.
pub fn run(_args: DataArgs, context: &Context) -> Result<()> {
    Err(Failure::Usage(format!("`{}` is not there yet", context.verb)).into())
}
