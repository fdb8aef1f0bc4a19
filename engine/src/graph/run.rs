//! The interpreter: runs a graph on a tape under a hook.

use std::collections::HashMap;

use super::plan::{Plan, Step};
use super::{Graph, Hook, Layer, Node, NodeId};
use crate::ops::{self, BatchNormMode, BatchStats, ConvNorm, InputMap};
use crate::{Params, Result, Tape, Tensor, Var};

/// Added to batch norm's variance: PyTorch's default.
const EPS: f32 = 1e-5;
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
}

impl Graph {
    /// Runs the network for training: batch statistics, and running averages updated
    /// (`running = 0.9 running + 0.1 batch`, with the unbiased variance).
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
        let (forward, statistics) = self.run(params, tape, x, Mode::Train, hook)?;
        for (node, stats) in statistics {
            let unbias = stats.count as f32 / (stats.count.max(2) - 1) as f32;
            let mean = params.get_mut(&format!("{}.running_mean", self.nodes[node].name))?;
            for (r, m) in mean.data_mut().iter_mut().zip(&stats.mean) {
                *r += MOMENTUM * (m - *r);
            }
            let var = params.get_mut(&format!("{}.running_var", self.nodes[node].name))?;
            for (r, v) in var.data_mut().iter_mut().zip(&stats.var) {
                *r += MOMENTUM * (v * unbias - *r);
            }
        }
        Ok(forward)
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
        Ok(self.run(params, tape, x, Mode::Eval, hook)?.0)
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
        let statistics = self.run(params, &mut Tape::inference(), x, Mode::Train, hook)?.1;
        Ok(statistics.into_iter().map(|(id, stats)| (self.nodes[id].name.clone(), stats)).collect())
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

    fn run(
        &self,
        params: &Params,
        tape: &mut Tape,
        x: Tensor,
        mode: Mode,
        hook: &mut dyn Hook,
    ) -> Result<(Forward, Vec<(NodeId, BatchStats)>)> {
        let plan = Plan::new(self);
        let mut run = Run {
            graph: self,
            params,
            by_name: params.by_name(),
            param_vars: vec![None; params.len()],
            values: vec![None; self.nodes.len()],
            statistics: Vec::new(),
            mode,
            fuse: mode == Mode::Train && tape.records(),
            waiting: HashMap::new(),
        };
        let mut image = Some(x);
        for (id, node) in self.nodes.iter().enumerate() {
            let y = match (plan.steps[id], node.layer) {
                (Step::Absorbed, _) => continue,
                (_, Layer::Input) => tape.leaf(image.take().expect("a graph has one input"), false),
                (Step::BatchNormRelu { norm, residual }, _) => {
                    let residual = residual.map(|r| run.value(r));
                    let add = &self.nodes[node.inputs[0]];
                    let residual = residual.map(|r| hook.edge(tape, add, r)).transpose()?;
                    run.batch_norm_relu(tape, norm, residual)?
                }
                (Step::Alone, Layer::Conv2d { .. }) if run.fuse && plan.normed[id] => {
                    match run.conv_or_wait(tape, id, hook)? {
                        Some(y) => y,
                        None => continue,
                    }
                }
                (Step::Alone, _) => run.alone(tape, id, hook)?,
            };
            hook.output(node, tape.value(y))?;
            run.values[id] = Some(y);
            for (before, _) in plan.last_use.iter().enumerate().filter(|(i, last)| **last == id && *i < id) {
                run.values[before].into_iter().for_each(|v| tape.release(v));
            }
        }
        let output =
            run.values.last().copied().flatten().expect("a graph has nodes, and the last is computed");
        Ok((Forward { output, params: run.param_vars }, run.statistics))
    }
}

/// The state of one run.
struct Run<'a> {
    graph: &'a Graph,
    params: &'a Params,
    by_name: HashMap<&'a str, usize>,
    param_vars: Vec<Option<Var>>,
    values: Vec<Option<Var>>,
    statistics: Vec<(NodeId, BatchStats)>,
    mode: Mode,
    /// Whether convolutions that only a batch norm uses wait for it, to be computed with it.
    fuse: bool,
    /// Convolutions that wait.
    waiting: HashMap<NodeId, Waiting>,
}

/// Operands of a convolution that waits for its batch norm.
struct Waiting {
    x: Var,
    map: Option<Box<dyn InputMap>>,
    w: Var,
}

impl Run<'_> {
    fn value(&self, id: NodeId) -> Var {
        self.values[id].expect("inputs are computed before their uses")
    }

    /// Puts parameter `<node>.<suffix>` on the tape.
    fn param(&mut self, tape: &mut Tape, node: &Node, suffix: &str) -> Result<Var> {
        let name = format!("{}.{suffix}", node.name);
        let Some(&i) = self.by_name.get(name.as_str()) else {
            return self.params.get(&name).map(|_| unreachable!("`by_name` holds every name"));
        };
        let param = &self.params[i];
        let var = tape.leaf(param.value.clone(), param.role.trainable());
        self.param_vars[i] = Some(var);
        Ok(var)
    }

    fn alone(&mut self, tape: &mut Tape, id: NodeId, hook: &mut dyn Hook) -> Result<Var> {
        let node = &self.graph.nodes[id];
        if let Layer::BatchNorm { .. } = node.layer
            && let Some(y) = self.waited(tape, id, None, false)?
        {
            return Ok(y);
        }
        let x = self.value(node.inputs[0]);
        match node.layer {
            Layer::Input => unreachable!("handled by the caller"),
            Layer::Conv2d { .. } | Layer::Linear { .. } => self.weighted(tape, node, x, hook),
            Layer::BatchNorm { .. } => {
                let (gamma, beta) = (self.param(tape, node, "weight")?, self.param(tape, node, "bias")?);
                let (y, stats) = ops::batch_norm(tape, x, gamma, beta, self.norm_mode(node)?)?;
                self.statistics.extend(stats.map(|s| (id, s)));
                Ok(y)
            }
            Layer::Relu => Ok(ops::relu(tape, x)),
            Layer::Add => {
                let residual = hook.edge(tape, node, self.value(node.inputs[1]))?;
                ops::add(tape, x, residual)
            }
            Layer::SubsamplePad { stride, lo, hi } => ops::subsample_pad(tape, x, stride, lo, hi),
            Layer::GlobalAvgPool => {
                let x = hook.edge(tape, node, x)?;
                ops::global_avg_pool(tape, x)
            }
        }
    }

    /// A layer with weights, as the hook wants it.
    fn weighted(&mut self, tape: &mut Tape, node: &Node, x: Var, hook: &mut dyn Hook) -> Result<Var> {
        let w = self.param(tape, node, "weight")?;
        let b = match node.layer {
            Layer::Linear { .. } => Some(self.param(tape, node, "bias")?),
            _ => None,
        };
        if let Some(y) = hook.compute(node, tape.value(x), tape.value(w), b.map(|b| tape.value(b)))? {
            return Ok(tape.leaf(y, false));
        }
        let (x, w) = (hook.input(tape, node, x)?, hook.weight(tape, node, w)?);
        let b = b.map(|b| hook.bias(tape, node, b)).transpose()?;
        match (node.layer, b) {
            (Layer::Conv2d { stride, padding, .. }, b) => ops::conv2d(tape, x, w, b, stride, padding),
            (_, Some(b)) => ops::linear(tape, x, w, b),
            _ => unreachable!("linear layers have a bias"),
        }
    }

    /// A convolution's result if the hook computes it, else nothing: the batch norm behind it will.
    fn conv_or_wait(&mut self, tape: &mut Tape, id: NodeId, hook: &mut dyn Hook) -> Result<Option<Var>> {
        let node = &self.graph.nodes[id];
        let (x, w) = (self.value(node.inputs[0]), self.param(tape, node, "weight")?);
        if let Some(y) = hook.compute(node, tape.value(x), tape.value(w), None)? {
            return Ok(Some(tape.leaf(y, false)));
        }
        let map = hook.input_map(tape, node, x)?;
        let x = if map.is_some() { x } else { hook.input(tape, node, x)? };
        let w = hook.weight(tape, node, w)?;
        self.waiting.insert(id, Waiting { x, map, w });
        Ok(None)
    }

    /// The result of batch norm `norm` and what follows it, if the convolution before it waits.
    fn waited(
        &mut self,
        tape: &mut Tape,
        norm: NodeId,
        residual: Option<Var>,
        relu: bool,
    ) -> Result<Option<Var>> {
        let node = &self.graph.nodes[norm];
        let conv = node.inputs[0];
        let (Some(Waiting { x, map, w }), Layer::Conv2d { stride, padding, .. }) =
            (self.waiting.remove(&conv), self.graph.nodes[conv].layer)
        else {
            return Ok(None);
        };
        let (gamma, beta) = (self.param(tape, node, "weight")?, self.param(tape, node, "bias")?);
        let inputs = ConvNorm { x, map, w, gamma, beta, residual, relu, stride, padding, eps: EPS };
        let (z, stats) = ops::conv_norm(tape, inputs)?;
        self.statistics.push((norm, stats));
        Ok(Some(z))
    }

    fn batch_norm_relu(&mut self, tape: &mut Tape, norm: NodeId, residual: Option<Var>) -> Result<Var> {
        if let Some(z) = self.waited(tape, norm, residual, true)? {
            return Ok(z);
        }
        let node = &self.graph.nodes[norm];
        let (gamma, beta) = (self.param(tape, node, "weight")?, self.param(tape, node, "bias")?);
        let x = self.value(node.inputs[0]);
        let (y, stats) = ops::batch_norm_relu(tape, x, gamma, beta, residual, self.norm_mode(node)?)?;
        self.statistics.extend(stats.map(|s| (norm, s)));
        Ok(y)
    }

    fn norm_mode(&self, node: &Node) -> Result<BatchNormMode<'_>> {
        Ok(match self.mode {
            Mode::Train => BatchNormMode::Train { eps: EPS },
            Mode::Eval => BatchNormMode::Eval {
                mean: self.params.get(&format!("{}.running_mean", node.name))?.data(),
                var: self.params.get(&format!("{}.running_var", node.name))?.data(),
                eps: EPS,
            },
        })
    }
}
