//! Training and evaluation: batches through a network under a hook.

use std::sync::Arc;

use engine::fast::{Algorithm, Fused};
use engine::kernel::Isa;
use engine::ops::Distillation;
use engine::optim::{Ema, Schedule, Sgd};
use engine::{Graph, Hook, Inference, Params, Tape, Tensor, ops};
use quant::FiniteHook;

use crate::data::cifar10::SIDE;
use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Network, Result};

/// A network in training, with everything a checkpoint must hold to continue to the same bits.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// What is trained.
    pub network: Network,
    /// Update rule and its velocities.
    pub sgd: Sgd,
    /// Learning rate of each step.
    pub schedule: Schedule,
    /// Label smoothing.
    pub smoothing: f32,
    /// How convolutions and their gradients are computed.
    pub algorithm: Algorithm,
    /// A float network to learn from, beside the labels.
    pub teacher: Option<Teacher>,
    /// Average of the weights, for evaluation.
    pub ema: Option<Ema>,
    /// Steps taken.
    pub step: usize,
}

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
    /// `network`, made ready to classify.
    ///
    /// # Errors
    /// If it has something that float inference does not know.
    pub fn new(network: &Network, how: Distillation) -> Result<Self> {
        let Network { graph, params, .. } = network;
        let compiled = Inference::compile(graph, params, [SIDE, SIDE, 3], Isa::active())?;
        Ok(Self { network: Arc::new(compiled), how })
    }
}

/// Result of one or more training steps.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Progress {
    /// Sum of the losses, each times the images of its batch.
    pub loss: f64,
    /// Images classified correctly before the update.
    pub correct: usize,
    /// Images seen.
    pub images: usize,
}

impl Progress {
    /// Takes in the result of another step.
    pub fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.correct += other.correct;
        self.images += other.images;
    }

    /// Mean loss per image.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.images.max(1) as f64
    }

    /// Share of correct images, in percent.
    pub fn top1(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }
}

impl Trainer {
    /// One step of SGD on one batch.
    ///
    /// # Errors
    /// If the hook fails or the loss is not finite: the run has diverged.
    pub fn step(&mut self, batch: Batch, hook: &mut dyn Hook) -> Result<Progress> {
        let images = batch.labels.len();
        let mut tape = Tape::new();
        let Network { graph, params, .. } = &mut self.network;
        let teacher = self.teacher.as_ref();
        let followed = teacher.map(|t| Ok::<_, Error>((t.network.run(&batch.x)?, t.how))).transpose()?;
        let forward = Fused::new(graph, self.algorithm).forward_train(params, &mut tape, batch.x, hook)?;
        let correct = ops::accuracy(tape.value(forward.output), &batch.labels);
        let (logits, labels, smoothing) = (forward.output, &batch.labels, self.smoothing);
        let loss_var = match &followed {
            None => ops::cross_entropy(&mut tape, logits, labels, smoothing)?,
            Some((teacher, how)) => ops::distill(&mut tape, logits, labels, smoothing, teacher, *how)?,
        };
        let loss = f64::from(tape.value(loss_var).data()[0]);
        if !loss.is_finite() {
            let detail = format!("the loss is {loss} at step {}; lower the learning rate", self.step);
            return Err(Error::Value(detail));
        }
        tape.backward(loss_var, Tensor::scalar(1.0))?;
        let grads: Vec<_> = forward.params.iter().map(|v| v.and_then(|v| tape.grad(v))).collect();
        let rate = self.schedule.rate(self.step);
        self.sgd.step(params, &grads, rate)?;
        hook.learn(&tape, rate)?;
        self.step += 1;
        if let Some(ema) = &mut self.ema {
            ema.update(params);
        }
        Ok(Progress { loss: loss * images as f64, correct, images })
    }

    /// The parameters to evaluate: the average where there is one.
    pub fn averaged(&self) -> &Params {
        self.ema.as_ref().map_or(&self.network.params, |ema| &ema.params)
    }

    /// Everything needed to continue: parameters, velocities (`momentum.`), the average (`ema.`), the step.
    pub fn checkpoint(&self) -> Checkpoint {
        let params = &self.network.params;
        let mut checkpoint = self.network.checkpoint(params);
        let mut keep = |prefix: &str, name: &str, tensor: &Tensor| {
            checkpoint.tensors.push((format!("{prefix}{name}"), tensor.clone()));
        };
        self.sgd.state(params).for_each(|(name, v)| keep("momentum.", name, v));
        if let Some(ema) = &self.ema {
            ema.params.iter().for_each(|p| keep("ema.", &p.name, &p.value));
        }
        checkpoint.set("step", self.step);
        checkpoint
    }

    /// Restores the state that [`checkpoint`](Self::checkpoint) kept.
    ///
    /// # Errors
    /// If it does not belong to this network.
    pub fn restore(&mut self, mut checkpoint: Checkpoint) -> Result<()> {
        let step = checkpoint.get("step")?;
        for (name, velocity) in checkpoint.split_off("momentum.") {
            self.sgd.restore(&self.network.params, &name, velocity)?;
        }
        let average = checkpoint.split_off("ema.");
        if let Some(ema) = &mut self.ema {
            for (name, tensor) in average {
                *ema.params.get_mut(&name)? = tensor;
            }
        }
        let tensors = checkpoint.into_expected(&self.network.expected())?;
        for (param, (_, tensor)) in self.network.params.iter_mut().zip(tensors) {
            param.value = tensor;
        }
        self.step = step.unwrap_or(0);
        Ok(())
    }
}

/// Result of an evaluation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluation {
    /// Images classified correctly.
    pub correct: usize,
    /// Images seen.
    pub images: usize,
    /// The logits, `[images, classes]`, flat.
    pub logits: Vec<f32>,
}

impl Evaluation {
    /// Share of correct images, in percent.
    pub fn top1(&self) -> f64 {
        100.0 * self.correct as f64 / self.images.max(1) as f64
    }

    /// Share of images, in percent, that both evaluations give the same class.
    pub fn agreement(&self, other: &Self) -> f64 {
        let classes = self.logits.len() / self.images.max(1);
        let pairs = self.logits.chunks_exact(classes).zip(other.logits.chunks_exact(classes));
        100.0 * pairs.filter(|(a, b)| ops::argmax(a) == ops::argmax(b)).count() as f64
            / self.images.max(1) as f64
    }
}

/// Classifies all `batches` under `hook`; `seen` is called with the images done so far.
///
/// # Errors
/// If the hook fails, or a logit is not finite, which has no largest class: the first layer is named whose activations
/// are not.
pub fn evaluate(
    graph: &Graph,
    params: &Params,
    batches: impl Iterator<Item = Batch>,
    hook: &mut dyn Hook,
    mut seen: impl FnMut(usize),
) -> Result<Evaluation> {
    let mut evaluation = Evaluation::default();
    for batch in batches {
        let x = batch.x.clone(); // copied, not computed: next to nothing beside the network
        let logits = graph.infer(params, batch.x, hook)?;
        if logits.data().iter().any(|v| !v.is_finite()) {
            graph.infer(params, x, &mut FiniteHook)?;
            return Err(Error::Value("the logits are not finite; the activations before them are".into()));
        }
        evaluation.correct += ops::accuracy(&logits, &batch.labels);
        evaluation.images += batch.labels.len();
        evaluation.logits.extend_from_slice(logits.data());
        seen(evaluation.images);
    }
    Ok(evaluation)
}
