//! What training starts from, and whom it learns from.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::ops::Distillation;
use models::data::cifar10::SIDE;
use models::formats::{Model, open};
use models::{QuantizedNetwork, Teacher};

use super::{QatArgs, TEACHER_IS_START};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::{Recipe, Setup, Training};

impl QatArgs {
    /// Where training starts.
    pub(crate) fn start(&self, context: &Context, setup: &Setup) -> Result<QuantizedNetwork> {
        let recipe = Recipe { activation_rule: self.activation_rule, ..self.post_training() };
        let mut start = match &self.init {
            Some(file) => {
                let opened = open::open(file, None, Some(setup.network.normalization))?;
                opened.notes.iter().for_each(|note| context.note(format_args!("{}: {note}", file.display())));
                match opened.model {
                    Model::Float(network) => {
                        setup.expect_classes(context, file, &network)?;
                        recipe.quantize_network(context, setup, &network)?
                    }
                    Model::Quantized(start) => {
                        setup.expect_classes(context, file, &start.network)?;
                        recipe.continue_from(setup, start)?
                    }
                    Model::Integer(_) => return Err(no_weights(file)),
                }
            }
            None => recipe.quantize(context, setup)?,
        };
        self.rules.apply(&mut start.quantization.config);
        Ok(start)
    }

    /// How to train.
    pub(crate) fn training(&self, context: &Context, setup: &Setup) -> Result<Training> {
        let how = Distillation { share: self.teacher_share as f32, temperature: self.temperature as f32 };
        let teacher = |file: &PathBuf| -> Result<Teacher> {
            let own = file.as_os_str() == TEACHER_IS_START;
            let (file, key) = if own {
                (self.input.weights.as_deref(), self.input.weights_key.as_deref())
            } else {
                (Some(file.as_path()), None)
            };
            let normalization = assets::normalization(self.input.normalization.as_deref())?;
            let (path, network) = assets::load_network(context, file, key, normalization)?;
            setup.expect_classes(context, &path, &network)?;
            Ok(Teacher::new(&network.graph, &network.params, [SIDE, SIDE, 3], how)?)
        };
        Ok(Training { teacher: self.teacher.as_ref().map(teacher).transpose()?, ..self.without_teacher() })
    }

    /// The same, learning from the labels alone.
    pub(super) fn without_teacher(&self) -> Training {
        Training {
            epochs: self.epochs,
            batch: self.batch,
            lr: self.lr,
            weight_decay: self.weight_decay,
            smoothing: self.smoothing,
            ema: self.ema,
            checkpoint_every: self.checkpoint_every,
            teacher: None,
            frozen_epochs: self.frozen_epochs,
            reestimate_images: self.reestimate_images,
            size_goal: self.learn_bits.goal(),
        }
    }
}

/// The file holds codes only.
fn no_weights(file: &Path) -> anyhow::Error {
    let text = format!("--init {}: has no float weights to train; give its .latent file", file.display());
    Failure::BadInput(text).into()
}
