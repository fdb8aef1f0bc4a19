//! One step of training: forward, loss, backward, update. The network may be any graph.

use engine::fast::{Algorithm, Fused};
use engine::kernel::Isa;
use engine::optim::{Ema, Schedule, Sgd};
use engine::{Float, Graph, Hook, Mode, Params, Shape, Tape, Tensor, ops};

use super::{Learner, Tally, Teacher};
use crate::data::loader::Batch;
use crate::{Checkpoint, Error, Result};

/// A network in training, with everything a checkpoint must hold to continue to the same bits.
#[derive(Clone, Debug)]
pub struct Trainer {
    /// The layers.
    pub graph: Graph,
    /// Their parameters: what is trained.
    pub params: Params,
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
    /// From this step on batch norms normalise by their running statistics, which stay as they are.
    pub frozen_from: Option<usize>,
    /// Average of the weights, for evaluation.
    pub ema: Option<Ema>,
    /// Steps taken.
    pub step: usize,
}

impl Trainer {
    /// The network `graph` with `params`, before its first step. It learns from the labels alone, without smoothing, and
    /// keeps no average; convolutions are computed by the fastest algorithm.
    pub fn new(graph: Graph, params: Params, sgd: Sgd, schedule: Schedule) -> Self {
        let algorithm = Algorithm::Winograd(Isa::active());
        Self {
            graph,
            params,
            sgd,
            schedule,
            smoothing: 0.0,
            algorithm,
            teacher: None,
            frozen_from: None,
            ema: None,
            step: 0,
        }
    }

    /// Spreads `smoothing` of each label over all classes.
    #[must_use]
    pub fn with_smoothing(self, smoothing: f32) -> Self {
        Self { smoothing, ..self }
    }

    /// Keeps an average of the weights; `decay` 0: none.
    #[must_use]
    pub fn with_ema(mut self, decay: f32) -> Self {
        self.ema = (decay > 0.0).then(|| Ema::new(decay, &self.params));
        self
    }

    /// Learns from a teacher too, where there is one.
    #[must_use]
    pub fn with_teacher(self, teacher: Option<Teacher>) -> Self {
        Self { teacher, ..self }
    }

    /// Freezes the statistics of batch norms from `step` on: training then sees what evaluation will see.
    #[must_use]
    pub fn with_norms_frozen_from(self, step: Option<usize>) -> Self {
        Self { frozen_from: step, ..self }
    }

    /// Computes convolutions by `algorithm`.
    #[must_use]
    pub fn with_algorithm(self, algorithm: Algorithm) -> Self {
        Self { algorithm, ..self }
    }

    /// One step of SGD on one batch.
    ///
    /// # Errors
    /// If the hook fails or the loss is not finite: the run has diverged.
    pub fn step(&mut self, batch: Batch, hook: &mut dyn Hook) -> Result<Tally> {
        let images = batch.labels.len();
        let mut tape = Tape::new();
        let Self { graph, params, .. } = self;
        let followed = self.teacher.as_ref().map(|teacher| teacher.logits(&batch.x)).transpose()?;
        let fused = Fused::new(graph, self.algorithm);
        let forward = if self.frozen_from.is_some_and(|from| self.step >= from) {
            fused.run(params, &mut tape, batch.x, Mode::Eval, hook)?
        } else {
            fused.forward_train(params, &mut tape, batch.x, hook)?
        };
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
        hook.updated(graph, params)?;
        self.step += 1;
        if let Some(ema) = &mut self.ema {
            ema.update(params, self.step);
        }
        Ok(Tally { loss: loss * images as f64, correct, images })
    }

    /// The parameters to evaluate: the average where there is one.
    pub fn averaged(&self) -> &Params {
        self.ema.as_ref().map_or(&self.params, |ema| &ema.params)
    }
}

/// Training in floats.
impl Learner for Trainer {
    fn learn(&mut self, batch: Batch) -> Result<Tally> {
        self.step(batch, &mut Float)
    }

    fn steps(&self) -> usize {
        self.step
    }

    fn rate(&self) -> f32 {
        self.schedule.rate(self.step)
    }

    /// Parameters, velocities (`momentum.`), the average (`ema.`), the step.
    fn state(&self) -> Checkpoint {
        let mut state = Checkpoint::default();
        let mut keep = |prefix: &str, name: &str, tensor: &Tensor| {
            state.tensors.push((format!("{prefix}{name}"), tensor.clone()));
        };
        self.params.iter().for_each(|p| keep("", &p.name, &p.value));
        self.sgd.state(&self.params).for_each(|(name, v)| keep("momentum.", name, v));
        if let Some(ema) = &self.ema {
            ema.params.iter().for_each(|p| keep("ema.", &p.name, &p.value));
        }
        state.set("step", self.step);
        state
    }

    fn restore(&mut self, mut state: Checkpoint) -> Result<()> {
        let step = state.get("step")?;
        for (name, velocity) in state.split_off("momentum.") {
            self.sgd.restore(&self.params, &name, velocity)?;
        }
        let average = state.split_off("ema.");
        if let Some(ema) = &mut self.ema {
            for (name, tensor) in average {
                *ema.params.get_mut(&name)? = tensor;
            }
        }
        let expected: Vec<(String, Shape)> =
            self.params.iter().map(|p| (p.name.clone(), p.value.shape())).collect();
        let tensors = state.into_expected(&expected)?;
        for (param, (_, tensor)) in self.params.iter_mut().zip(tensors) {
            param.value = tensor;
        }
        self.step = step.unwrap_or(0);
        Ok(())
    }
}
