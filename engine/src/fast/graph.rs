//! A graph run fast with the default algorithm: what most callers want.

use super::{Algorithm, Fused};
use crate::ops::BatchStats;
use crate::{Forward, Graph, Hook, Mode, Params, Result, Tape, Tensor};

impl Graph {
    /// [`Fused::forward_train`] with the default algorithm.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn forward_train(
        &self,
        params: &mut Params,
        tape: &mut Tape,
        x: Tensor,
        hook: &mut dyn Hook,
    ) -> Result<Forward> {
        Fused::new(self, Algorithm::default()).forward_train(params, tape, x, hook)
    }

    /// Runs the network with frozen statistics. With a recording tape, gradients can be taken.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn forward_eval(
        &self,
        params: &Params,
        tape: &mut Tape,
        x: Tensor,
        hook: &mut dyn Hook,
    ) -> Result<Forward> {
        Fused::new(self, Algorithm::default()).run(params, tape, x, Mode::Eval, hook)
    }

    /// The statistics of the batch `x` at every batch norm, by node name, each normalised by them on the way
    /// to the next: what training would see. The parameters stay as they are.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn batch_statistics(
        &self,
        params: &Params,
        x: Tensor,
        hook: &mut dyn Hook,
    ) -> Result<Vec<(String, BatchStats)>> {
        let fused = Fused::new(self, Algorithm::default());
        let statistics = fused.run(params, &mut Tape::inference(), x, Mode::Train, hook)?.statistics;
        Ok(statistics.into_iter().map(|(id, stats)| (self.nodes()[id].name.clone(), stats)).collect())
    }

    /// The output for `x` in floats or under `hook`, and nothing else.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn infer(&self, params: &Params, x: Tensor, hook: &mut dyn Hook) -> Result<Tensor> {
        let mut tape = Tape::inference();
        let output = self.forward_eval(params, &mut tape, x, hook)?.output;
        Ok(tape.take(output))
    }
}
