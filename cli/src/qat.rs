//! `qat`.

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::exit::Failure;

/// Settings of `qat`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QatArgs {}

/// Runs the verb.
///
/// # Errors
/// Always: it is not there yet.
pub fn run(_args: QatArgs, context: &Context) -> Result<()> {
    Err(Failure::Usage(format!("`{}` is not there yet", context.verb)).into())
}
