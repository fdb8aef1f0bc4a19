//! A float network, a data set, and seeded subsets of its images.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::rng::{Purpose, Rng};
use engine::{Float, Hook};
use models::data::augment::Augment;
use models::data::classes::Classes;
use models::data::data_set::DataSet;
use models::data::loader::Loader;
use models::nets::equalize::equalize;
use models::{Evaluation, Network, evaluate};

use crate::run::assets;
use crate::run::context::Context;
use crate::run::input::InputArgs;
use crate::run::progress::Progress;

/// Images computed at once in calibration and evaluation.
pub(super) const BATCH: usize = 128;

/// Where every experiment starts.
pub struct Setup {
    /// The float network.
    pub network: Network,
    /// Its file.
    pub weights: PathBuf,
    /// The data.
    pub data: DataSet,
    /// The training images in use.
    pub train: Vec<usize>,
    /// The test images in use.
    pub test: Loader,
    /// Training images that nothing learns from.
    pub held_out: Option<Loader>,
}

impl Setup {
    /// Loads network and data; at most `limit` training and `test_limit` test images are used, the first ones.
    ///
    /// # Errors
    /// If either cannot be read.
    pub fn open(
        context: &Context,
        input: &InputArgs,
        limit: Option<u32>,
        test_limit: Option<u32>,
    ) -> Result<Self> {
        let (path, mut network) = assets::load_network(
            context,
            input.weights.as_deref(),
            input.weights_key.as_deref(),
            assets::normalization(input.normalization.as_deref())?,
        )?;
        for (layer, channel, factor) in equalize(&network.graph, &mut network.params)? {
            context.note(format_args!(
                "{layer}, channel {channel}: divided by {factor}, which the batch norm behind it takes back; beside it \
                 the other channels' weights would round to zero"
            ));
        }
        let data = assets::open_data(context, input.data.as_deref())?;
        assets::expect_classes(context, (&path, &network.classes), (&data.folder, data.classes()))?;
        if network.classes == Classes::numbered(network.classes.len()) {
            network.classes = data.classes().clone(); // nobody said their names before
        }
        let first = |len: usize, limit: Option<u32>| limit.map_or(len, |limit| len.min(limit as usize));
        let test = Loader::evaluation(&data.test, BATCH, network.normalization)
            .over((0..first(data.test.len(), test_limit)).collect::<Vec<_>>());
        let train = (0..first(data.train.len(), limit)).collect();
        context.note(format_args!(
            "{}: {}; {} test images of {}",
            path.display(),
            network.label(),
            test.images(),
            data.folder.display()
        ));
        Ok(Self { network, weights: path, data, train, test, held_out: None })
    }

    /// Refuses another network, of this file, that does not tell the data set's classes apart.
    ///
    /// # Errors
    /// Saying both numbers, and what to do.
    pub fn expect_classes(&self, context: &Context, file: &Path, network: &Network) -> Result<()> {
        assets::expect_classes(context, (file, &network.classes), (&self.data.folder, self.data.classes()))
    }

    /// The files that an experiment begins with.
    pub fn files(&self) -> Vec<(&'static str, &Path)> {
        vec![("weights", &self.weights), ("data", &self.data.folder)]
    }

    /// `count` training images after skipping `skip`, in an order drawn from `seed`, or as many as there are;
    /// without augmentation. Equal `skip + count` of two calls make disjoint subsets.
    pub fn subset(&self, seed: u64, skip: usize, count: usize) -> Loader {
        Loader::evaluation(&self.data.train, BATCH, self.network.normalization)
            .over(self.chosen(seed, skip, count))
    }

    /// All training images, shuffled and augmented by `seed`, in batches of `batch`.
    pub fn training(&self, batch: usize, seed: u64) -> Loader {
        Loader::training(&self.data.train, batch, self.network.normalization, Augment::STANDARD, seed)
            .over(self.train.clone())
    }

    /// `count` of them, as [`subset`](Self::subset) chooses them.
    pub fn augmented(&self, count: usize, batch: usize, seed: u64) -> Loader {
        self.training(batch, seed).over(self.chosen(seed, 0, count))
    }

    fn chosen(&self, seed: u64, skip: usize, count: usize) -> Vec<usize> {
        let mut order = self.train.clone();
        Rng::at(seed, Purpose::Subset, 0, 0).shuffle(&mut order);
        order.into_iter().skip(skip).take(count).collect()
    }

    /// The accuracy of the float network on the test images.
    ///
    /// # Errors
    /// If the images do not fit the network.
    pub fn float(&self, context: &Context) -> Result<Evaluation> {
        self.float_on(context, &self.test)
    }

    /// The same on other images.
    ///
    /// # Errors
    /// As [`float`](Self::float).
    pub fn float_on(&self, context: &Context, images: &Loader) -> Result<Evaluation> {
        measure(context, "float", &self.network, images, &mut Float)
    }
}

/// Evaluates `network` under `hook`, with a progress bar.
///
/// # Errors
/// If the hook fails.
pub fn measure(
    context: &Context,
    what: &str,
    network: &Network,
    images: &Loader,
    hook: &mut dyn Hook,
) -> Result<Evaluation> {
    let progress = Progress::new(context, format!("  {what}"), images.images());
    let batches = images.prefetch(0, 0, 2);
    Ok(evaluate(&network.graph, &network.params, batches, hook, |done| progress.set(done))?)
}
