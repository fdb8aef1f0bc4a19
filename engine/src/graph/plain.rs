//! The interpreter, plain: one operation for each node, in the order of the nodes. It trains like any other.

use super::pass::{Asked, Leaves};
use super::{Forward, Graph, Hook, Incoming, Input, Layer, Mode};
use crate::{Params, Result, Tape, Tensor, ops};

impl Graph {
    /// Runs the network by its definition: what every other way to run it must equal.
    ///
    /// # Errors
    /// If a shape does not fit or the hook fails.
    pub fn forward_plain(
        &self,
        params: &Params,
        tape: &mut Tape,
        image: Tensor,
        mode: Mode,
        hook: &mut dyn Hook,
    ) -> Result<Forward> {
        let (mut leaves, mut statistics) = (Leaves::new(params), Vec::new());
        let (mut image, mut values) = (Some(image), Vec::new());
        for (id, node) in self.nodes.iter().enumerate() {
            let input = |i: usize| Incoming { var: values[node.inputs[i]], range: None };
            let y = match node.layer {
                Layer::Input => tape.leaf(image.take().expect("a graph has one input"), false),
                Layer::Conv2d { .. } | Layer::Linear { .. } => {
                    match leaves.ask(tape, node, input(0), hook)? {
                        Asked::Done(y) => y,
                        Asked::With(layer) => {
                            let x = match layer.input {
                                Input::Value(x) => x,
                                Input::Map(map) => map.record(tape, input(0).var)?,
                            };
                            match (node.layer, layer.bias) {
                                (Layer::Conv2d { stride, padding, .. }, b) => {
                                    ops::conv2d(tape, x, layer.weight, b, stride, padding)?
                                }
                                (_, Some(b)) => ops::linear(tape, x, layer.weight, b)?,
                                _ => unreachable!("linear layers have a bias"),
                            }
                        }
                    }
                }
                Layer::BatchNorm { .. } => {
                    let [gamma, beta] = leaves.norm(tape, node)?;
                    let mode = leaves.norm_mode(node, mode)?;
                    let x = hook.normalize(tape, node, input(0))?;
                    let (y, stats) = ops::batch_norm(tape, x, gamma, beta, mode)?;
                    statistics.extend(stats.map(|stats| (id, stats)));
                    y
                }
                Layer::Relu => ops::relu(tape, input(0).var),
                Layer::Add => {
                    let r = hook.activation(tape, node, input(1))?;
                    ops::add(tape, input(0).var, r)?
                }
                Layer::SubsamplePad { stride, lo, hi } => {
                    ops::subsample_pad(tape, input(0).var, stride, lo, hi)?
                }
                Layer::GlobalAvgPool => {
                    let x = hook.activation(tape, node, input(0))?;
                    ops::global_avg_pool(tape, x)?
                }
            };
            hook.output(node, tape.value(y))?;
            values.push(y);
        }
        Ok(Forward { output: values[values.len() - 1], params: leaves.vars, statistics })
    }
}
