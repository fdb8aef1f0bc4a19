//! Cross-layer equalization: a factor of each channel moves through a ReLU into the next layer.
//!
//! A ReLU lets positive factors through, so that in `conv - batch norm - relu - conv`
//!
//! ```text
//! relu(gamma x + beta)  =  f relu( (gamma x + beta) / f )                    f > 0
//! ```
//!
//! `gamma` and `beta` of channel `i` may be divided by `f` if the next layer's weights of input channel `i` are multiplied by
//! it (Nagel et al., "Data-free quantization through weight equalization and bias correction", ICCV 2019, equations 8 to
//! 11). With the ranges `r1` on one side and `r2` on the other, both become `sqrt(r1 r2)` for
//!
//! ```text
//! f = sqrt( r1 / r2 )                                                       (7i)
//! ```
//!
//! The paper folds batch norms into the weights in front of them, and `r1` is the range of a folded channel. Here those
//! weights stay as they are, and what is rounded on the first side is the *activation*: batch norm says how large it is,
//! `r1 = max(0, beta + 3 |gamma|)`. `r2` is the largest weight of the next layer's input channel.

use engine::{Graph, Layer, NodeId, Params, Result};

/// The largest factor, either way: a channel that is silent has no range to speak of.
const LARGEST: f32 = 64.0;

/// Standard deviations of an activation that its range covers.
const SIGMAS: f32 = 3.0;

/// Batch norm and next convolution of every `batch norm - relu - conv` that nobody else reads.
pub fn pairs(graph: &Graph) -> Vec<(NodeId, NodeId)> {
    let nodes = graph.nodes();
    let only = |id: NodeId| {
        let mut readers = graph.readers(id).map(|(reader, _)| reader);
        readers.next().filter(|_| readers.next().is_none())
    };
    let pair = |norm: NodeId| {
        let relu = only(norm).filter(|&relu| nodes[relu].layer == Layer::Relu)?;
        let conv = only(relu).filter(|&conv| matches!(nodes[conv].layer, Layer::Conv2d { .. }))?;
        Some((norm, conv))
    };
    let norms = (0..nodes.len()).filter(|&id| matches!(nodes[id].layer, Layer::BatchNorm { .. }));
    norms.filter_map(pair).collect()
}

/// Equalizes every pair of `graph`, and returns how many there are. The float network stays the same up to rounding.
///
/// # Errors
/// If a parameter is missing.
pub fn cross_layer(graph: &Graph, params: &mut Params) -> Result<usize> {
    let pairs = pairs(graph);
    for &(norm, conv) in &pairs {
        let [norm, conv] = [norm, conv].map(|id| &graph.nodes()[id].name);
        let [gamma, beta] = ["weight", "bias"].map(|suffix| format!("{norm}.{suffix}"));
        let weight = format!("{conv}.weight");
        let w = params.get(&weight)?.data();
        let channels = params.get(&gamma)?.len();
        let mut r2 = vec![0.0f32; channels];
        for row in w.chunks(channels) {
            r2.iter_mut().zip(row).for_each(|(r, w)| *r = r.max(w.abs()));
        }
        let sizes = params.get(&gamma)?.data().iter().zip(params.get(&beta)?.data());
        let r1 = sizes.map(|(gamma, beta)| (beta + SIGMAS * gamma.abs()).max(0.0));
        let factor = |(r1, r2): (f32, &f32)| {
            let f = (r1 / r2).sqrt();
            if f.is_finite() && f > 0.0 { f.clamp(1.0 / LARGEST, LARGEST) } else { 1.0 }
        };
        let factors: Vec<f32> = r1.zip(&r2).map(factor).collect();
        for name in [gamma, beta] {
            params.get_mut(&name)?.data_mut().iter_mut().zip(&factors).for_each(|(v, f)| *v /= f);
        }
        for row in params.get_mut(&weight)?.data_mut().chunks_mut(channels) {
            row.iter_mut().zip(&factors).for_each(|(w, f)| *w *= f);
        }
    }
    Ok(pairs.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equalize::tests::{network, outputs};

    #[test]
    fn ranges_meet_and_the_network_stays_the_same() {
        let (graph, mut params) = network();
        let want = outputs(&graph, &params);
        assert_eq!(cross_layer(&graph, &mut params).unwrap(), 1);
        for (got, want) in outputs(&graph, &params).iter().zip(&want) {
            assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs()), "{got} instead of {want}");
        }
        let [gamma, beta] = ["bn1.weight", "bn1.bias"].map(|name| params.get(name).unwrap().data());
        let w = params.get("conv2.weight").unwrap().data();
        for c in 0..gamma.len() {
            let r1 = beta[c] + SIGMAS * gamma[c].abs();
            let r2 = w.iter().skip(c).step_by(gamma.len()).fold(0.0f32, |a, w| a.max(w.abs()));
            assert!(r1 <= 0.0 || (r1 / r2 - 1.0).abs() < 1e-4, "channel {c}: {r1} {r2}");
        }
    }
}
