//! The fast interpreter: one match over the fused steps. Equals [`Graph::forward_plain`] up to rounding (the test below
//! states the bound).

use super::conv_norm::{ConvNorm, conv_norm};
use super::fuse::{Norm, Step, StepOp, fuse};
use super::{Algorithm, batch_norm, batch_norm_relu, conv2d};
use crate::graph::{Asked, Leaves};
use crate::ops::{self, BatchStats, EPS};
use crate::{
    Forward, Graph, Hook, Incoming, Input, Layer, LayerQuant, Mode, Node, NodeId, Params, Result, Tape,
    Tensor, Var,
};

/// A graph made ready to run fast.
pub struct Fused<'a> {
    graph: &'a Graph,
    steps: Vec<Step>,
    algorithm: Algorithm,
}

impl<'a> Fused<'a> {
    /// `graph`, its convolutions and their gradients computed by `algorithm`.
    pub fn new(graph: &'a Graph, algorithm: Algorithm) -> Self {
        Self { graph, steps: fuse(graph), algorithm }
    }

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
        let forward = self.run(params, tape, x, Mode::Train, hook)?;
        forward.update_averages(self.graph, params)?;
        Ok(forward)
    }

    /// Runs the network.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn run(
        &self,
        params: &Params,
        tape: &mut Tape,
        x: Tensor,
        mode: Mode,
        hook: &mut dyn Hook,
    ) -> Result<Forward> {
        let nodes = self.graph.nodes();
        let mut run = Run {
            nodes,
            algorithm: self.algorithm,
            leaves: Leaves::new(params),
            values: vec![None; nodes.len()],
            statistics: Vec::new(),
            mode,
            at_once: mode == Mode::Train && tape.records(),
        };
        let mut image = Some(x);
        for Step { id, op, frees } in &self.steps {
            let node = &nodes[*id];
            let y = match *op {
                StepOp::Input => plain(tape.leaf(image.take().expect("a graph has one input"), false)),
                StepOp::ConvNorm { conv, norm } => run.conv_norm(tape, conv, norm, frees, hook)?,
                StepOp::Norm(norm) => run.norm(tape, norm, hook)?,
                StepOp::Conv2d | StepOp::Linear => plain(run.weighted(tape, node, hook)?),
                StepOp::Relu => plain(ops::relu(tape, run.input(node).var)),
                StepOp::Add => plain(run.add(tape, node, hook)?),
                StepOp::SubsamplePad { stride, lo, hi } => {
                    plain(ops::subsample_pad(tape, run.input(node).var, stride, lo, hi)?)
                }
                StepOp::GlobalAvgPool => plain(run.pool(tape, node, hook)?),
            };
            hook.output(node, tape.value(y.var))?;
            run.values[*id] = Some(y);
            frees.iter().filter_map(|&i| run.values[i]).for_each(|value| tape.release(value.var));
        }
        let output = run.values.last().copied().flatten();
        let output = output.expect("a graph has nodes, and the last is computed").var;
        Ok(Forward { output, params: run.leaves.vars, statistics: run.statistics })
    }
}

/// A value whose range nobody has looked at.
fn plain(var: Var) -> Incoming {
    Incoming { var, range: None }
}

/// The state of one run.
struct Run<'a> {
    nodes: &'a [Node],
    algorithm: Algorithm,
    leaves: Leaves<'a>,
    values: Vec<Option<Incoming>>,
    statistics: Vec<(NodeId, BatchStats)>,
    mode: Mode,
    /// Whether a convolution is computed at once with its batch norm, as training does.
    at_once: bool,
}

impl Run<'_> {
    fn value(&self, id: NodeId) -> Incoming {
        self.values[id].expect("inputs are computed before their uses")
    }

    fn input(&self, node: &Node) -> Incoming {
        self.value(node.inputs[0])
    }

    fn weighted(&mut self, tape: &mut Tape, node: &Node, hook: &mut dyn Hook) -> Result<Var> {
        let x = self.input(node);
        let asked = self.leaves.ask(tape, node, x, hook)?;
        self.product(tape, node, asked)
    }

    /// A layer with weights, on its own.
    fn product(&self, tape: &mut Tape, node: &Node, asked: Asked) -> Result<Var> {
        let LayerQuant { input, weight, bias } = match asked {
            Asked::Done(y) => return Ok(y),
            Asked::With(layer) => layer,
        };
        let x = match input {
            Input::Value(x) => x,
            Input::Map(map) => map.record(tape, self.input(node).var)?,
        };
        match (node.layer, bias) {
            (Layer::Conv2d { stride, padding, .. }, b) => {
                conv2d(tape, self.algorithm, x, weight, b, [stride, padding])
            }
            (_, Some(b)) => ops::linear(tape, x, weight, b),
            _ => unreachable!("linear layers have a bias"),
        }
    }

    fn conv_norm(
        &mut self,
        tape: &mut Tape,
        conv: NodeId,
        norm: Norm,
        frees: &[NodeId],
        hook: &mut dyn Hook,
    ) -> Result<Incoming> {
        let (node, Layer::Conv2d { stride, padding, .. }) = (&self.nodes[conv], self.nodes[conv].layer)
        else {
            unreachable!("fused as a convolution")
        };
        let input = self.input(node);
        match self.leaves.ask(tape, node, input, hook)? {
            Asked::With(LayerQuant { input: x, weight: w, bias: None }) if self.at_once => {
                let residual = self.residual(tape, norm, hook)?;
                let [gamma, beta] = self.leaves.norm(tape, &self.nodes[norm.id])?;
                let (x, map) = match x {
                    Input::Value(x) => (x, None),
                    Input::Map(map) => (input.var, Some(map)),
                };
                let (relu, eps) = (norm.relu, EPS as f32);
                let operands = ConvNorm { x, map, w, gamma, beta, residual, relu, stride, padding, eps };
                let (z, stats) = conv_norm(tape, self.algorithm, operands)?;
                self.statistics.push((norm.id, stats));
                Ok(z)
            }
            asked => {
                let y = self.product(tape, node, asked)?;
                hook.output(node, tape.value(y))?;
                let from = node.inputs[0];
                if frees.contains(&from) && norm.residual.is_none_or(|r| r.from != from) {
                    tape.release(input.var); // its memory may become the result's
                }
                let z = self.norm_of(tape, y, norm, hook)?;
                tape.release(y);
                Ok(z)
            }
        }
    }

    fn norm(&mut self, tape: &mut Tape, norm: Norm, hook: &mut dyn Hook) -> Result<Incoming> {
        let x = self.input(&self.nodes[norm.id]).var;
        self.norm_of(tape, x, norm, hook)
    }

    /// The batch norm of `x`, and what follows it.
    fn norm_of(&mut self, tape: &mut Tape, x: Var, norm: Norm, hook: &mut dyn Hook) -> Result<Incoming> {
        let residual = self.residual(tape, norm, hook)?;
        let node = &self.nodes[norm.id];
        let x = hook.normalize(tape, node, plain(x))?;
        let [gamma, beta] = self.leaves.norm(tape, node)?;
        let mode = self.leaves.norm_mode(node, self.mode)?;
        let (y, stats) = match norm.relu {
            true => batch_norm_relu(tape, x, gamma, beta, residual, mode)?,
            false => batch_norm(tape, x, gamma, beta, mode)?,
        };
        self.statistics.extend(stats.map(|stats| (norm.id, stats)));
        Ok(plain(y))
    }

    /// What is added behind `norm`, as the hook wants it.
    fn residual(&self, tape: &mut Tape, norm: Norm, hook: &mut dyn Hook) -> Result<Option<Var>> {
        norm.residual.map(|r| hook.activation(tape, &self.nodes[r.add], self.value(r.from))).transpose()
    }

    fn add(&self, tape: &mut Tape, node: &Node, hook: &mut dyn Hook) -> Result<Var> {
        let residual = hook.activation(tape, node, self.value(node.inputs[1]))?;
        ops::add(tape, self.input(node).var, residual)
    }

    fn pool(&self, tape: &mut Tape, node: &Node, hook: &mut dyn Hook) -> Result<Var> {
        let x = hook.activation(tape, node, self.input(node))?;
        ops::global_avg_pool(tape, x)
    }
}
