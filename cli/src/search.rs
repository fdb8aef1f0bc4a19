//! `search`.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::exit::Failure;

/// Settings of `search`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchArgs {}

/// Runs the verb.
///
/// # Errors
/// Always: it is not there yet.
pub fn run(_args: SearchArgs, context: &Context) -> Result<()> {
    Err(Failure::Usage(format!("`{}` is not there yet", context.verb)).into())
}
