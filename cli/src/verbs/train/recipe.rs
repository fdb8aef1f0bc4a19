//! The recipe: settings, and the batches, network and optimizer they stand for.

use std::ops::Range;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use engine::optim::{Decay, Schedule, Sgd};
use models::data::augment::{Augment, Normalization};
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::{Checkpoint, Network, Shortcut, Trainer};
use serde::{Deserialize, Serialize};

use crate::run::algorithm::AlgorithmChoice;
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::BELOW_ONE;

/// Settings of `train`.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct TrainArgs {
    /// CIFAR-10 or CIFAR-100 in binary format, or a folder of pictures for each class [default: the slice
    /// of CIFAR-10 that comes with the program]
    #[arg(long, value_name = "DIR")]
    pub(super) data: Option<PathBuf>,
    /// Layers, 6n + 2
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) depth: usize,
    /// How blocks that halve the image bring their input along: A (no parameters) or B (1x1 convolution)
    #[arg(long, value_name = "A|B", default_value = "B")]
    pub(super) shortcut: String,
    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 24)]
    pub(super) epochs: usize,
    /// Images of a step
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(super) batch: usize,
    /// Peak learning rate
    #[arg(long, value_name = "RATE", default_value_t = 0.1)]
    pub(super) lr: f64,
    /// Epochs over which the learning rate climbs to its peak; half a cosine to zero follows
    #[arg(long, value_name = "EPOCHS", default_value_t = 1.0)]
    pub(super) warmup: f64,
    /// Momentum
    #[arg(long, default_value_t = 0.9)]
    pub(super) momentum: f64,
    /// Nesterov's momentum
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) nesterov: bool,
    /// Weight decay
    #[arg(long, value_name = "DECAY", default_value_t = 5e-4)]
    pub(super) weight_decay: f64,
    /// Decay batch norms and biases too
    #[arg(long)]
    pub(super) decay_all: bool,
    /// Label smoothing
    #[arg(long, value_name = "SHARE", default_value_t = 0.1)]
    pub(super) smoothing: f64,
    /// How convolutions and their gradients are computed
    #[arg(long, value_enum, default_value_t)]
    pub(super) algorithm: AlgorithmChoice,
    /// Decay of the average of the weights that is evaluated and kept; 0: no average
    #[arg(long, value_name = "DECAY", default_value_t = 0.998)]
    pub(super) ema: f64,
    /// Pad by 4 and crop, and flip, at random
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub(super) augment: bool,
    /// Side of the square blanked at a random place of every training image; 0: none
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) cutout: usize,
    /// Start from these weights instead of random ones [depth and shortcut are the file's]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["depth", "shortcut"])]
    pub(super) init: Option<PathBuf>,
    /// mean,mean,mean/std,std,std, or course, true, imagenet [default: the file's with --init, else course for
    /// CIFAR-10 and what the training images have for other data]
    #[arg(long, value_name = "MEAN/STD")]
    pub(super) normalization: Option<String>,
    /// Only the first N training images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) limit: Option<u32>,
    /// Only the first N test images
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) test_limit: Option<u32>,
    /// Save the state every N steps too, not only after each epoch; 0: never
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(super) checkpoint_every: usize,
    /// The run's folder [default: runs/train-TIMESTAMP]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(super) out: Option<PathBuf>,
    /// Continue the run in this folder
    #[arg(long, value_name = "DIR")]
    pub(super) resume: Option<PathBuf>,
    /// Say what would be done, and estimate time, memory and disk from a short piece of it; write nothing
    #[arg(long, conflicts_with = "resume")]
    #[serde(default)]
    pub(super) dry_run: bool,
}

impl TrainArgs {
    /// Refuses what the command line's own checks let through.
    pub(super) fn check(&self) -> Result<()> {
        let usage = |text: String| Err(Failure::Usage(text).into());
        if self.epochs == 0 || self.batch == 0 {
            return usage("--epochs and --batch must be at least 1".into());
        }
        if self.cutout > 32 {
            return usage(format!("--cutout {}: images have 32 x 32 pixels", self.cutout));
        }
        for (flag, value, least, most) in [
            ("--lr", self.lr, 0.0, 1e3),
            ("--warmup", self.warmup, 0.0, 1e6),
            ("--momentum", self.momentum, 0.0, BELOW_ONE),
            ("--weight-decay", self.weight_decay, 0.0, 1e3),
            ("--smoothing", self.smoothing, 0.0, 0.99),
            ("--ema", self.ema, 0.0, BELOW_ONE),
        ] {
            if !(least..=most).contains(&value) {
                return usage(format!("{flag} {value}: expected a number from {least} to {most}"));
            }
        }
        if self.warmup > self.epochs as f64 {
            let text = format!("--warmup {}: --lr is not reached in --epochs {}", self.warmup, self.epochs);
            return usage(text);
        }
        Ok(())
    }
}

/// Training and test batches.
pub(super) fn loaders(
    args: &TrainArgs,
    seed: u64,
    data: &DataSet,
    normalization: Normalization,
) -> (Loader, Loader) {
    let standard = if args.augment { Augment::STANDARD } else { Augment::NONE };
    let augment = Augment { cutout: args.cutout, ..standard };
    let train = Loader::training(&data.train, args.batch, normalization, augment, seed)
        .over(first(data.train.len(), args.limit).collect::<Vec<_>>());
    let test = Loader::evaluation(&data.test, 128, normalization)
        .over(first(data.test.len(), args.test_limit).collect::<Vec<_>>());
    (train, test)
}

/// The first of `len` images, at most `limit`.
fn first(len: usize, limit: Option<u32>) -> Range<usize> {
    0..limit.map_or(len, |limit| len.min(limit as usize))
}

/// The network to start from: fresh, or `--init`; of a run with a saved `state`, one like it. It tells apart what `data` has.
pub(super) fn network(
    args: &TrainArgs,
    context: &Context,
    data: &DataSet,
    state: Option<&Checkpoint>,
) -> Result<Network> {
    let normalization = assets::normalization(args.normalization.as_deref())?;
    let (file, network) = match (&args.init, state) {
        (None, _) => {
            let shortcut: Shortcut = args.shortcut.parse()?;
            let of_images = || data.normalization(first(data.train.len(), args.limit));
            let normalization = normalization.unwrap_or_else(of_images);
            let classes = data.classes().clone();
            return Ok(Network::fresh_for(classes, args.depth, shortcut, normalization, context.seed)?);
        }
        (Some(file), None) => (file, assets::load_network(context, Some(file), None, normalization)?.1),
        // The file may be gone.
        (Some(file), Some(state)) => {
            let mut weights = state.clone();
            weights.split_off("momentum.");
            weights.split_off("ema.");
            (file, Network::from_checkpoint(weights, normalization)?)
        }
    };
    assets::expect_classes(context, (file, &network.classes), (&data.folder, data.classes()))?;
    Ok(Network { classes: data.classes().clone(), ..network })
}

/// The network with its optimizer.
pub(super) fn trainer(args: &TrainArgs, network: &Network, batches: usize) -> Trainer {
    let schedule = Schedule {
        base: args.lr as f32,
        warmup: (args.warmup * batches as f64).round() as usize,
        total: args.epochs * batches,
        decay: Decay::Cosine { end: 0.0 },
    };
    let sgd = Sgd::new(args.momentum as f32, args.nesterov, args.weight_decay as f32, args.decay_all);
    Trainer::new(network.graph.clone(), network.params.clone(), sgd, schedule)
        .with_smoothing(args.smoothing as f32)
        .with_ema(args.ema as f32)
        .with_algorithm(args.algorithm.algorithm())
}
