//! Factors that move between neighbouring layers, so that integers fit better, while the float network stays the same.
//!
//! 1. [`cross_layer`](mod@cross_layer): from a batch norm through the ReLU into the next convolution (Nagel et al. 2019).
//! 2. [`flip`](mod@flip): the sign of a convolution's channel into the batch norm behind it.
//! 3. [`balance`](mod@balance): a factor of a convolution's channel into the batch norm behind it.

pub mod balance;
pub mod cross_layer;
pub mod flip;

pub use balance::balance;
pub use cross_layer::cross_layer;
pub use flip::flip;

use engine::{Graph, Layer, Node, Result};

use crate::{Grid, Plan};

/// Every convolution whose output is read by a batch norm and by nobody else, and that batch norm.
fn normed_convolutions(graph: &Graph) -> impl Iterator<Item = (&Node, &Node)> {
    let norms = graph.nodes().iter().filter(|node| matches!(node.layer, Layer::BatchNorm { .. }));
    let pairs = norms.map(|norm| (norm.inputs[0], norm));
    let only = |&(conv, _): &(usize, &Node)| graph.readers(conv).count() == 1;
    let pairs = pairs.filter(only).map(|(conv, norm)| (&graph.nodes()[conv], norm));
    pairs.filter(|(conv, _)| matches!(conv.layer, Layer::Conv2d { .. }))
}

/// Those of them whose weights `plan` rounds, and to which grid; without layers of no bits, where nothing is rounded better or
/// worse.
fn rounded_convolutions<'a>(
    graph: &'a Graph,
    plan: &'a Plan,
) -> impl Iterator<Item = Result<(&'a Node, &'a Node, Grid)>> {
    normed_convolutions(graph).filter_map(|(conv, norm)| {
        let bits = plan.get(&conv.name)?.w;
        (bits > 0).then(|| Ok((conv, norm, Grid::signed(bits)?)))
    })
}

#[cfg(test)]
mod tests {
    use engine::{Float, Graph, Layer, Params, Tensor};

    /// conv bn relu, a residual block with uneven channels, classifier.
    pub(super) fn network() -> (Graph, Params) {
        let conv = |c| Layer::Conv2d { c, o: 8, kernel: 3, stride: 1, padding: 1 };
        let norm = Layer::BatchNorm { c: 8 };
        let mut g = Graph::default();
        let x = g.add("x", Layer::Input, &[]);
        let stem = g.add("conv", conv(3), &[x]);
        let bn = g.add("bn", norm, &[stem]);
        let relu = g.add("relu", Layer::Relu, &[bn]);
        let conv1 = g.add("conv1", conv(8), &[relu]);
        let bn1 = g.add("bn1", norm, &[conv1]);
        let relu1 = g.add("relu1", Layer::Relu, &[bn1]);
        let conv2 = g.add("conv2", conv(8), &[relu1]);
        let bn2 = g.add("bn2", norm, &[conv2]);
        let add = g.add("add", Layer::Add, &[bn2, relu]);
        let relu2 = g.add("relu2", Layer::Relu, &[add]);
        let pool = g.add("pool", Layer::GlobalAvgPool, &[relu2]);
        g.add("fc", Layer::Linear { i: 8, o: 4 }, &[pool]);
        let mut params = g.init(7).unwrap();
        for (i, param) in params.iter_mut().enumerate() {
            let row = (param.value.len() / 8).max(1);
            let uneven = |j: usize| ((j / row % 8) as f32 - 3.0).exp2();
            let name = param.name.as_str();
            let values = param.value.data_mut().iter_mut().enumerate();
            match name.rsplit_once('.').map(|(_, suffix)| suffix) {
                _ if name == "conv1.weight" => values.for_each(|(j, v)| *v *= uneven(j)),
                Some("running_mean" | "bias") => values.for_each(|(j, v)| *v = ((i + j) as f32).sin() * 0.3),
                Some("running_var") => values.for_each(|(j, v)| *v = 0.5 + uneven(j)),
                Some("weight") if name.starts_with("bn") => {
                    values.for_each(|(j, v)| *v = 0.5 + ((i * j) as f32).cos().abs());
                }
                _ => {}
            }
        }
        (g, params)
    }

    pub(super) fn outputs(graph: &Graph, params: &Params) -> Vec<f32> {
        let x = Tensor::from_fn([3, 6, 6, 3], |i| (i as f32 * 0.37).sin());
        graph.infer(params, x, &mut Float).unwrap().data().to_vec()
    }
}
