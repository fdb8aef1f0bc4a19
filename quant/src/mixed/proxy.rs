//! What a layer at `b` bits costs, guessed without measuring a network.
//!
//! | name | cost of a layer |
//! |---|---|
//! | `sqnr` | `E (w_hat - w)^2 / E w^2`, the inverse of the weights' signal-to-quantization-noise ratio |
//! | `output` | `mean over channels of ( 1 - corr(y_hat, y)^2 )` of the layer's output |
//! | `fisher` | `1/2 sum F (w_hat - w)^2` with the diagonal of the [Fisher information](super::fisher) (6m) |
//!
//! The second looks at a batch of images as the float network sees them. A batch norm takes back a factor and a mean of
//! each channel; what is left of the error `y_hat - y` after the best factor and mean is the share `1 - corr^2` of the
//! spread, so that is what counts (6g).
//!
//! How well the sum over layers orders networks is measured, not assumed: [`rank`](super::rank).

use std::collections::HashMap;
use std::ops::RangeInclusive;

use engine::fast::{Algorithm, conv2d};
use engine::{Graph, Hook, Layer, Node, Params, Result, Tape, Tensor, ops};

use super::{Rounding, fisher};

/// Which guess.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// The noise of the weights.
    Sqnr,
    /// The noise of the layer's output.
    Output,
    /// The noise of the weights, each weighed by what the network's answers depend on it.
    Fisher,
}

impl Proxy {
    /// All, by name.
    pub const TABLE: [(&str, Self); 3] =
        [("sqnr", Self::Sqnr), ("output", Self::Output), ("fisher", Self::Fisher)];
}

/// What rounding the weights of a layer costs: its name, the weights before and after.
type CostOfWeights<'a> = dyn Fn(&str, &[f32], &[f32]) -> f64 + 'a;

/// `costs[layer][b - min]` of the network `graph` with `params`; `batch` are images as the network takes them.
pub(super) fn costs(
    kind: Proxy,
    (graph, params): (&Graph, &Params),
    rounding: Rounding,
    batch: Option<&Tensor>,
    widths: RangeInclusive<u32>,
) -> Result<Vec<Vec<f64>>> {
    // Of each layer at each width, by its weights before and after.
    let by_weights = |cost: &CostOfWeights<'_>| {
        let of_layer = |node: &Node| {
            let w = params.get(&format!("{}.weight", node.name))?;
            let rounded = |b| rounding.round(&node.layer, w, b);
            widths.clone().map(|b| Ok(cost(&node.name, w.data(), rounded(b)?.data()))).collect()
        };
        graph.weighted().map(of_layer).collect()
    };
    match kind {
        Proxy::Sqnr => by_weights(&|_, w, w_hat| noise(w, w_hat)),
        Proxy::Fisher => {
            let Some(batch) = batch else { return Ok(Vec::new()) };
            let f = fisher::diagonal(graph, params, batch)?;
            by_weights(&|layer, w, w_hat| f.get(layer).map_or(0.0, |f| fisher::cost(f, w, w_hat)))
        }
        Proxy::Output => {
            let mut hook = Outputs { rounding, widths, costs: HashMap::new() };
            let Some(batch) = batch else { return Ok(Vec::new()) };
            graph.infer(params, batch.clone(), &mut hook)?;
            // A shortcut's convolution may be computed before the one that stands before it in the network.
            Ok(graph.weighted().filter_map(|node| hook.costs.remove(&node.name)).collect())
        }
    }
}

/// `sum (a_hat - a)^2 / sum a^2`.
fn noise(a: &[f32], a_hat: &[f32]) -> f64 {
    let error: f64 = a.iter().zip(a_hat).map(|(a, hat)| f64::from(hat - a).powi(2)).sum();
    let signal: f64 = a.iter().map(|&a| f64::from(a).powi(2)).sum();
    if signal > 0.0 { error / signal } else { 0.0 }
}

/// Computes every layer with its own weights and with rounded ones.
struct Outputs {
    rounding: Rounding,
    widths: RangeInclusive<u32>,
    /// By the layer's name.
    costs: HashMap<String, Vec<f64>>,
}

impl Hook for Outputs {
    fn compute(&mut self, node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Option<Tensor>> {
        let y = output(node, x, w, b)?;
        let mut cost = Vec::new();
        for bits in self.widths.clone() {
            cost.push(lost_spread(&y, &output(node, x, &self.rounding.round(&node.layer, w, bits)?, b)?));
        }
        self.costs.insert(node.name.clone(), cost);
        Ok(Some(y))
    }
}

fn output(node: &Node, x: &Tensor, w: &Tensor, b: Option<&Tensor>) -> Result<Tensor> {
    let mut tape = Tape::inference();
    let (x, w) = (tape.leaf(x.clone(), false), tape.leaf(w.clone(), false));
    let y = match (node.layer, b) {
        (Layer::Linear { .. }, Some(b)) => {
            let b = tape.leaf(b.clone(), false);
            ops::linear(&mut tape, x, w, b)?
        }
        (Layer::Conv2d { stride, padding, .. }, _) => {
            conv2d(&mut tape, Algorithm::default(), x, w, None, [stride, padding])?
        }
        _ => unreachable!("only linear layers and convolutions have weights"),
    };
    Ok(tape.take(y))
}

/// The mean over channels of `1 - corr(y_hat, y)^2` (6g). A channel that became constant has lost all, one that was
/// constant nothing.
fn lost_spread(y: &Tensor, y_hat: &Tensor) -> f64 {
    let channels = y.shape().last();
    let rows = (y.len() / channels.max(1)) as f64;
    let mut sums = vec![[0.0f64; 5]; channels];
    for (row, hat) in y.data().chunks(channels).zip(y_hat.data().chunks(channels)) {
        for ((sums, &a), &b) in sums.iter_mut().zip(row).zip(hat) {
            let (a, b) = (f64::from(a), f64::from(b));
            [a, b, a * a, b * b, a * b].iter().zip(sums).for_each(|(term, sum)| *sum += term);
        }
    }
    let lost = sums.iter().map(|&[a, b, aa, bb, ab]| {
        let (aa, bb, ab) = (aa - a * a / rows, bb - b * b / rows, ab - a * b / rows);
        match (aa > 0.0, bb > 0.0) {
            (false, _) => 0.0,
            (true, false) => 1.0,
            _ => (1.0 - ab * ab / (aa * bb)).clamp(0.0, 1.0),
        }
    });
    lost.sum::<f64>() / channels as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_factor_and_a_mean_cost_nothing_and_noise_its_share() {
        let y = Tensor::from_fn([100, 2], |i| (i as f32 * 0.7).sin());
        assert!(lost_spread(&y, &y.map(|v| 3.0 - 2.0 * v)) < 1e-6);
        assert_eq!(lost_spread(&y, &y.map(|_| 1.0)), 1.0);
        // y = +-1, and an error of +-1/2 that knows nothing of it: a fifth of the new spread.
        let signs = Tensor::from_vec([4, 1], vec![1.0, 1.0, -1.0, -1.0]).unwrap();
        let noisy = Tensor::from_vec([4, 1], vec![1.5, 0.5, -0.5, -1.5]).unwrap();
        assert!((lost_spread(&signs, &noisy) - 0.2).abs() < 1e-9);
        assert_eq!(noise(&[1.0, -2.0], &[1.0, -1.0]), 0.2);
    }
}
