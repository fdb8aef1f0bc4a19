//! A teacher: a float network whose logits a network in training follows, beside the labels.

use std::sync::Arc;

use engine::kernel::Isa;
use engine::ops::Distillation;
use engine::{Graph, Inference, Params, Tensor};

use crate::Result;

/// A trained float network whose logits a network in training follows.
#[derive(Clone)]
pub struct Teacher {
    network: Arc<Inference>,
    how: Distillation,
}

impl std::fmt::Debug for Teacher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Teacher").field("how", &self.how).finish_non_exhaustive()
    }
}

impl Teacher {
    /// The network `graph` with `params`, made ready to classify images of shape `[H, W, C]`.
    ///
    /// # Errors
    /// If it has something that float inference does not know.
    pub fn new(graph: &Graph, params: &Params, image: [usize; 3], how: Distillation) -> Result<Self> {
        let compiled = Inference::compile(graph, params, image, Isa::active())?;
        Ok(Self { network: Arc::new(compiled), how })
    }

    /// Its logits for a batch of images `[N, H, W, C]`, and how they are to be followed.
    ///
    /// # Errors
    /// If the images have another shape.
    pub(super) fn logits(&self, x: &Tensor) -> Result<(Tensor, Distillation)> {
        Ok((self.network.run(x)?, self.how))
    }
}
