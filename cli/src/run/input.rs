//! The flags that say what an experiment begins with: a network and a data set.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::run::exit::Failure;

/// A network and a data set, each the user's or the one that comes with the program.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
pub struct InputArgs {
    /// The network to start from: safetensors, or a PyTorch .pt/.th file [default: the one that comes with the program]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Which network of a file that holds several: the key, or the prefix of its names
    #[arg(long, value_name = "KEY")]
    pub weights_key: Option<String>,
    /// CIFAR-10 or CIFAR-100 in binary format, or a folder of pictures for each class [default: the slice
    /// of CIFAR-10 that comes with the program]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// mean,mean,mean/std,std,std, or course, true, imagenet [default: what the file says, else course]
    #[arg(long, value_name = "MEAN/STD")]
    pub normalization: Option<String>,
}

impl InputArgs {
    /// Refuses a recipe of a table's cell that says itself what the table says for all its cells: these settings, or one of the
    /// `others` that is there.
    ///
    /// # Errors
    /// Naming the first.
    pub fn expect_none(&self, recipe: &Path, others: &[(&str, bool)]) -> Result<()> {
        let own = [
            ("weights", self.weights.is_some()),
            ("weights_key", self.weights_key.is_some()),
            ("data", self.data.is_some()),
            ("normalization", self.normalization.is_some()),
        ];
        match own.iter().chain(others).find(|(_, is_there)| *is_there) {
            Some((key, _)) => {
                let text =
                    format!("{}: a table says `{key}` for all its cells; leave it away", recipe.display());
                Err(Failure::Usage(text).into())
            }
            None => Ok(()),
        }
    }
}
