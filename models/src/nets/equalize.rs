//! Channels of one layer brought to similar size, without changing what the network computes.
//!
//! A batch norm takes back any factor of a channel in front of it. With `f > 0`,
//!
//! ```text
//! gamma (w x - mu) / sqrt(var + eps)  +  beta
//!   =  gamma' (w' x - mu') / sqrt(var' + eps)  +  beta       w' = w / f    mu' = mu / f    var' = var / f^2
//!                                                            gamma' = gamma sqrt( (var + f^2 eps) / (var + eps) )
//! ```
//!
//! Floats do not mind how large `f` is; integers do. A layer has one scale, so that beside a channel a thousand times as
//! large the weights of all others round to zero, and one fixed point of eq 7 has to hold the multipliers of all. Here
//! `f` is a power of two: `w'` and `mu'` are exact, only `gamma'` is rounded.
//!
//! Related: Nagel et al., "Data-free quantization through weight equalization and bias correction" (ICCV 2019), which
//! moves factors into the next layer instead, through a ReLU.

use engine::ops::EPS;
use engine::{Graph, Layer, Params, Result};

/// A channel is left alone unless its largest weight is so many times the layer's median channel's: with 8 bits such
/// neighbours keep 2. Channels of trained networks are within a factor of 4.
const UNEVEN: f32 = 64.0;

/// Divides every channel that is far larger than its neighbours, and names what it did: `layer, channel, factor`.
///
/// # Errors
/// If a parameter is missing.
pub fn equalize(graph: &Graph, params: &mut Params) -> Result<Vec<(String, usize, f32)>> {
    let mut changed = Vec::new();
    for norm in graph.nodes().iter().filter(|node| matches!(node.layer, Layer::BatchNorm { .. })) {
        let conv = &graph.nodes()[norm.inputs[0]];
        if !matches!(conv.layer, Layer::Conv2d { .. }) || graph.readers(norm.inputs[0]).count() > 1 {
            continue; // someone else reads the channels as they are
        }
        let mut w = params.get(&format!("{}.weight", conv.name))?.clone();
        let row = w.len() / w.dims()[0];
        let largest: Vec<f32> =
            w.data().chunks(row).map(|w| w.iter().fold(0.0, |a: f32, v| a.max(v.abs()))).collect();
        let mut sorted = largest.clone();
        sorted.sort_by(f32::total_cmp);
        let median = sorted[sorted.len() / 2];
        for (channel, ratio) in largest.iter().map(|largest| largest / median).enumerate() {
            if !(UNEVEN..f32::INFINITY).contains(&ratio) {
                continue;
            }
            let f = ratio.log2().floor().exp2();
            w.data_mut()[channel * row..][..row].iter_mut().for_each(|w| *w /= f);
            let mut scale = |suffix: &str, by: &dyn Fn(f64) -> f64| -> Result<f64> {
                let v = &mut params.get_mut(&format!("{}.{suffix}", norm.name))?.data_mut()[channel];
                let before = f64::from(*v);
                *v = by(before) as f32;
                Ok(before)
            };
            let f = f64::from(f);
            scale("running_mean", &|mean| mean / f)?;
            let var = scale("running_var", &|var| var / (f * f))?;
            scale("weight", &|gamma| gamma * ((var + f * f * EPS) / (var + EPS)).sqrt())?;
            changed.push((conv.name.clone(), channel, f as f32));
        }
        *params.get_mut(&format!("{}.weight", conv.name))? = w;
    }
    Ok(changed)
}

#[cfg(test)]
mod tests {
    use engine::{Float, Tensor};

    use super::*;
    use crate::data::augment::Normalization;
    use crate::{Network, Shortcut};

    fn logits(network: &Network) -> Vec<f32> {
        let x = Tensor::from_fn([4, 32, 32, 3], |i| (i * 37 % 101) as f32 / 50.0 - 1.0);
        network.graph.infer(&network.params, x, &mut Float).unwrap().data().to_vec()
    }

    #[test]
    fn an_uneven_channel_becomes_even_and_the_network_stays_the_same() {
        let mut network = Network::fresh(8, Shortcut::B, Normalization::TRUE, 3).unwrap();
        let (want, even) = (logits(&network), network.params.clone());
        assert!(equalize(&network.graph, &mut network.params).unwrap().is_empty());
        assert_eq!(network.params, even, "a network like any other is left alone");

        let mut channel_5 = |name: &str, by: f32| {
            let values = network.params.get_mut(name).unwrap();
            let row = values.len() / 16;
            values.data_mut()[5 * row..][..row].iter_mut().for_each(|v| *v *= by);
        };
        channel_5("layer1.0.conv1.weight", 1e6);
        channel_5("layer1.0.bn1.running_mean", 1e6);
        channel_5("layer1.0.bn1.running_var", 1e12);
        let changed = equalize(&network.graph, &mut network.params).unwrap();
        assert!(
            matches!(&changed[..], [(layer, 5, f)] if layer == "layer1.0.conv1" && *f > 1e5),
            "{changed:?}"
        );
        let w = network.params.get("layer1.0.conv1.weight").unwrap().data();
        assert!(w.iter().all(|w| w.abs() < 10.0), "as large as the others");
        for (got, want) in logits(&network).iter().zip(&want) {
            assert!((got - want).abs() <= 1e-3 * (1.0 + want.abs()), "{got} instead of {want}");
        }
    }
}
