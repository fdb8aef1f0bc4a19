//! `data`: verify a data set; fetch or slice CIFAR-10; write a data set as pictures.

#[cfg(feature = "fetch")]
mod fetch;
mod pictures;
mod slice;
mod sums;
mod verify;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::run::context::Context;

/// Arguments of `data`.
#[derive(Args, Clone, Debug)]
pub struct DataArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Check lengths, labels, class balance and checksums of a data set.
    Verify(verify::VerifyArgs),
    /// Download CIFAR-10 from its official page, check it, unpack it. An interrupted download goes on where it
    /// stopped.
    #[cfg(feature = "fetch")]
    Fetch(fetch::FetchArgs),
    /// Cut a small, class-balanced data set out of a large one.
    Slice(slice::SliceArgs),
    /// Write a data set as PNG pictures, a folder for each class: a form that --data takes too.
    Pictures(pictures::PicturesArgs),
}

/// Runs the action.
///
/// # Errors
/// As the actions'.
pub fn run(args: DataArgs, context: &Context) -> Result<()> {
    match args.action {
        Action::Verify(args) => verify::run(&args, context),
        #[cfg(feature = "fetch")]
        Action::Fetch(args) => fetch::run(&args, context),
        Action::Slice(args) => slice::run(&args, context),
        Action::Pictures(args) => pictures::run(&args, context),
    }
}
