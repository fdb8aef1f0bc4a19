//! What training starts from, and whom it learns from.

use std::path::{Path, PathBuf};

use anyhow::Result;
use engine::ops::Distillation;
use models::data::cifar10::SIDE;
use models::formats::{Model, open};
use models::{Network, QuantizedNetwork, Teacher};

use super::{QatArgs, TEACHER_IS_START};
use crate::run::assets;
use crate::run::context::Context;
use crate::run::exit::Failure;
use crate::run::experiment::{Recipe, Setup, Training};
use crate::verbs::train::WEIGHTS;

impl QatArgs {
    /// The network of `--init`, if there is one, as [`start`](Self::start) takes it: quick to refuse, before there is a folder.
    ///
    /// # Errors
    /// If the file is missing, has no floats to train, or holds a network that the run's float one cannot be compared with.
    pub(crate) fn init(&self, context: &Context, setup: &Setup) -> Result<Option<Model>> {
        let Some(file) = &self.init else { return Ok(None) };
        let mut opened = open::open(file, None, None)?;
        opened.notes.iter().for_each(|note| context.note(format_args!("{}: {note}", file.display())));
        let network = match &mut opened.model {
            Model::Float(network) | Model::Quantized(QuantizedNetwork { network, .. }) => network,
            Model::Integer(_) => return Err(no_weights(file)),
        };
        // A file that does not say how its pixels were normalised is taken to agree.
        if !opened.metadata.contains_key("mean") {
            network.normalization = setup.network.normalization;
        }
        expect_kin(context, setup, file, network)?;
        Ok(Some(opened.model))
    }

    /// Where training starts: at [`init`](Self::init), else at the float network of the run.
    pub(crate) fn start(
        &self,
        context: &Context,
        setup: &Setup,
        init: Option<Model>,
    ) -> Result<QuantizedNetwork> {
        let recipe = Recipe { activation_rule: self.activation_rule, ..self.post_training() };
        let mut start = match init {
            Some(Model::Float(network)) => recipe.quantize_network(context, setup, &network)?,
            Some(Model::Quantized(start)) => recipe.continue_from(context, setup, start)?,
            Some(Model::Integer(_)) => unreachable!("refused by `init`"),
            None => recipe.quantize(context, setup)?,
        };
        self.rules.apply(&mut start.quantization.config);
        Ok(start)
    }

    /// With the file of `--init` if that is a run's folder: what the run made last, the latent weights of `qat` or the weights
    /// of `train`.
    ///
    /// # Errors
    /// If the folder holds neither.
    pub(super) fn with_init_file(self) -> Result<Self> {
        let Some(folder) = self.init.as_deref().filter(|init| init.is_dir()) else { return Ok(self) };
        let latent = std::fs::read_dir(folder.join("last")).into_iter().flatten().flatten();
        let mut latent = latent.map(|entry| entry.path()).filter(|path| is_latent(path));
        let found = latent.next().or_else(|| Some(folder.join(WEIGHTS)).filter(|path| path.exists()));
        match found {
            Some(file) => Ok(Self { init: Some(file), ..self }),
            None => Err(Failure::BadInput(format!(
                "--init {}: holds neither last/*.latent.safetensors, which `qat` leaves, nor {WEIGHTS}, which `train` does; \
                 name a file",
                folder.display()
            ))
            .into()),
        }
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
            expect_pixels("--teacher", setup, &path, &network)?;
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

fn is_latent(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".latent.safetensors"))
}

/// Refuses a start that the float network of the run could not be compared with.
fn expect_kin(context: &Context, setup: &Setup, file: &Path, start: &Network) -> Result<()> {
    setup.expect_classes(context, file, start)?;
    expect_pixels("--init", setup, file, start)?;
    let name = format!("--init {}", file.display());
    assets::expect_kin(name, start, (&setup.weights, &setup.network))
}

/// All networks of a run are shown the same pixels.
fn expect_pixels(flag: &str, setup: &Setup, file: &Path, network: &Network) -> Result<()> {
    let (its, ours) = (network.normalization, setup.network.normalization);
    if its == ours {
        return Ok(());
    }
    let text = format!(
        "{flag} {}: its pixels are normalised by {its}, those of {} by {ours}; networks of one run must agree",
        file.display(),
        setup.weights.display()
    );
    Err(Failure::BadInput(text).into())
}

/// The file holds codes only.
fn no_weights(file: &Path) -> anyhow::Error {
    let text = format!("--init {}: has no float weights to train; give its .latent file", file.display());
    Failure::BadInput(text).into()
}
