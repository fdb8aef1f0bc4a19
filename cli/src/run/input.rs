//! The flags that say what an experiment begins with: a network and a data set.

use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

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
