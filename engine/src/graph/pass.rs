//! What every interpreter of a [`Graph`] shares: the result of a pass, and parameters on the tape.

use std::collections::HashMap;

use super::{Graph, Hook, Incoming, Layer, LayerQuant, Node, NodeId, Operands};
use crate::ops::{BatchNormMode, BatchStats, EPS};
use crate::{Params, Result, Tape, Var};

/// Weight of the newest batch in the running averages: PyTorch's default.
const MOMENTUM: f32 = 0.1;

/// How batch norm takes its statistics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// From the batch.
    Train,
    /// From the running averages.
    Eval,
}

/// A finished forward pass.
pub struct Forward {
    /// The result of the last node.
    pub output: Var,
    /// Where each parameter stands on the tape; `None` if the pass did not use it.
    pub params: Vec<Option<Var>>,
    /// What each batch norm measured, if it took its statistics from the batch.
    pub statistics: Vec<(NodeId, BatchStats)>,
}

impl Forward {
    /// Moves the running averages: `running = 0.9 running + 0.1 batch`, with the unbiased variance.
    ///
    /// # Errors
    /// If `params` has not the averages of `graph`.
    pub fn update_averages(&self, graph: &Graph, params: &mut Params) -> Result<()> {
        for (node, stats) in &self.statistics {
            let unbias = stats.count as f32 / (stats.count.max(2) - 1) as f32;
            let mean = params.get_mut(&format!("{}.running_mean", graph.nodes[*node].name))?;
            for (r, m) in mean.data_mut().iter_mut().zip(&stats.mean) {
                *r += MOMENTUM * (m - *r);
            }
            let var = params.get_mut(&format!("{}.running_var", graph.nodes[*node].name))?;
            for (r, v) in var.data_mut().iter_mut().zip(&stats.var) {
                *r += MOMENTUM * (v * unbias - *r);
            }
        }
        Ok(())
    }
}

/// What a layer with weights turned out to be.
pub(crate) enum Asked {
    /// Computed by the hook.
    Done(Var),
    /// To be computed with these.
    With(LayerQuant),
}

/// The parameters of one pass, put on the tape when a layer first wants them.
pub(crate) struct Leaves<'a> {
    params: &'a Params,
    by_name: HashMap<&'a str, usize>,
    pub vars: Vec<Option<Var>>,
}

impl<'a> Leaves<'a> {
    pub(crate) fn new(params: &'a Params) -> Self {
        Self { params, by_name: params.by_name(), vars: vec![None; params.len()] }
    }

    /// Puts parameter `<node>.<suffix>` on the tape.
    fn param(&mut self, tape: &mut Tape, node: &Node, suffix: &str) -> Result<Var> {
        let name = format!("{}.{suffix}", node.name);
        let Some(&i) = self.by_name.get(name.as_str()) else {
            return self.params.get(&name).map(|_| unreachable!("`by_name` holds every name"));
        };
        let param = &self.params[i];
        let var = tape.leaf(param.value.clone(), param.role.trainable());
        self.vars[i] = Some(var);
        Ok(var)
    }

    /// `gamma` and `beta` of a batch norm.
    pub(crate) fn norm(&mut self, tape: &mut Tape, node: &Node) -> Result<[Var; 2]> {
        Ok([self.param(tape, node, "weight")?, self.param(tape, node, "bias")?])
    }

    /// Where a batch norm takes its statistics from.
    pub(crate) fn norm_mode(&self, node: &Node, mode: Mode) -> Result<BatchNormMode<'a>> {
        let running = |what: &str| self.params.get(&format!("{}.running_{what}", node.name));
        let eps = EPS as f32;
        Ok(match mode {
            Mode::Train => BatchNormMode::Train { eps },
            Mode::Eval => {
                BatchNormMode::Eval { mean: running("mean")?.data(), var: running("var")?.data(), eps }
            }
        })
    }

    /// Asks the hook about a layer with weights.
    pub(crate) fn ask(
        &mut self,
        tape: &mut Tape,
        node: &Node,
        x: Incoming,
        hook: &mut dyn Hook,
    ) -> Result<Asked> {
        let w = self.param(tape, node, "weight")?;
        let b = match node.layer {
            Layer::Linear { .. } => Some(self.param(tape, node, "bias")?),
            _ => None,
        };
        let value = |v| tape.value(v);
        if let Some(y) = hook.compute(node, value(x.var), value(w), b.map(value))? {
            return Ok(Asked::Done(tape.leaf(y, false)));
        }
        hook.layer(tape, node, Operands { x, w, b }).map(Asked::With)
    }
}
