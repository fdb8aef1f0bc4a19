//! A network ready to run: graph, parameters, and the normalisation its images need.

use engine::{Graph, Params, Shape};

use super::family::expect_family;
use crate::data::augment::Normalization;
use crate::data::cifar10::CLASSES;
use crate::data::classes::Classes;
use crate::{Checkpoint, Error, Result, Shortcut, resnet};

/// A residual network with its parameters.
#[derive(Clone, Debug)]
pub struct Network {
    /// Layers: `6 n + 2`.
    pub depth: usize,
    /// How blocks that halve the image bring their input along.
    pub shortcut: Shortcut,
    /// The layers.
    pub graph: Graph,
    /// Their parameters.
    pub params: Params,
    /// What the network expects of its images.
    pub normalization: Normalization,
    /// What it tells apart: a logit for each.
    pub classes: Classes,
}

impl Network {
    /// A network for CIFAR-10's classes with fresh parameters drawn from `seed`.
    ///
    /// # Errors
    /// If the depth is not a CIFAR ResNet's.
    pub fn fresh(depth: usize, shortcut: Shortcut, normalization: Normalization, seed: u64) -> Result<Self> {
        Self::fresh_for(Classes::cifar10(), depth, shortcut, normalization, seed)
    }

    /// A network for these classes with fresh parameters drawn from `seed`.
    ///
    /// # Errors
    /// As [`fresh`](Self::fresh).
    pub fn fresh_for(
        classes: Classes,
        depth: usize,
        shortcut: Shortcut,
        normalization: Normalization,
        seed: u64,
    ) -> Result<Self> {
        let graph = resnet(depth, shortcut, classes.len())?;
        let params = graph.init(seed)?;
        Ok(Self { depth, shortcut, graph, params, normalization, classes })
    }

    /// A network with the parameters of a checkpoint: depth, shortcut and number of classes are read off the tensors'
    /// names and shapes, the classes' names are in its metadata. The normalisation is `normalization` where given, else the checkpoint's, else the course's.
    ///
    /// # Errors
    /// If the tensors are not exactly those of a CIFAR ResNet.
    pub fn from_checkpoint(checkpoint: Checkpoint, normalization: Option<Normalization>) -> Result<Self> {
        expect_family(&checkpoint)?;
        let names: Vec<&str> = checkpoint.tensors.iter().map(|(n, _)| n.as_str()).collect();
        let blocks =
            (0..).take_while(|b| names.contains(&format!("layer1.{b}.conv1.weight").as_str())).count();
        let shortcut = if names.iter().any(|n| n.contains("downsample")) { Shortcut::B } else { Shortcut::A };
        let depth = 6 * blocks.max(1) + 2;
        let normalization = match normalization {
            Some(given) => given,
            None => checkpoint.normalization()?.unwrap_or_default(),
        };
        // What holds no numbers says nothing; the tensors' check finds what is wrong with it.
        let classes = checkpoint.tensor("fc.weight").filter(|w| !w.data().is_empty());
        let classes = classes.and_then(|w| w.dims().first().copied()).unwrap_or(CLASSES);
        let classes = Classes::of_metadata(&checkpoint.metadata, classes)
            .map_err(|detail| Error::malformed(&checkpoint.path, detail))?;
        let mut network = Self::fresh_for(classes, depth, shortcut, normalization, 0)?;
        let tensors = checkpoint.into_expected(&network.expected())?;
        for (param, (_, tensor)) in network.params.iter_mut().zip(tensors) {
            param.value = tensor;
        }
        Ok(network)
    }

    /// What it is in words: `ResNet-20 option B`.
    pub fn label(&self) -> String {
        format!("ResNet-{} option {}", self.depth, self.shortcut)
    }

    /// Names and shapes of all parameters.
    pub fn expected(&self) -> Vec<(String, Shape)> {
        self.params.iter().map(|p| (p.name.clone(), p.value.shape())).collect()
    }

    /// A checkpoint of `params`, which may be this network's own or an average of them.
    pub fn checkpoint(&self, params: &Params) -> Checkpoint {
        let tensors = params.iter().map(|p| (p.name.clone(), p.value.clone())).collect();
        let mut checkpoint = Checkpoint { tensors, ..Checkpoint::default() };
        self.describe(&mut checkpoint);
        checkpoint
    }

    /// The size of its file, if it is written as it is.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn file_bytes(&self) -> Result<usize> {
        Ok(self.checkpoint(&self.params).to_bytes()?.len())
    }

    /// Says in the metadata of a checkpoint of this network what it is.
    pub fn describe(&self, checkpoint: &mut Checkpoint) {
        checkpoint.set("arch", format!("resnet{}", self.depth));
        checkpoint.set("shortcut", self.shortcut);
        checkpoint.set_normalization(&self.normalization);
        self.classes.describe(&mut checkpoint.metadata);
    }
}
