//! A step for every channel, with one scale per tensor: the batch norm behind a convolution takes the factors back.
//!
//! A batch norm undoes any factor `f > 0` of a channel in front of it:
//!
//! ```text
//! gamma (w x - mu) / sqrt(var + eps)  +  beta
//!   =  gamma' (w' x - mu') / sqrt(var' + eps)  +  beta       w' = w / f    mu' = mu / f    var' = var / f^2
//!                                                            gamma' = gamma sqrt( (var + f^2 eps) / (var + eps) )
//! ```
//!
//! (7h). Let `s_c` be the step that the scale rule chooses for channel `c` alone and `s` the layer's. With `f = s_c / s` every
//! channel of `w'` wants the step `s`: the one scale of the tensor serves each channel as its own would, and the factors
//! cost nothing, since batch norm multiplies each channel anyway. What is left to per-channel scales is layers without a
//! batch norm.
//!
//! The idea that a per-channel factor may hide in the arithmetic that follows is that of Krishnamoorthi, "Quantizing deep
//! convolutional networks for efficient inference" (2018), section 3.1.

use std::collections::BTreeMap;

use engine::ops::EPS;
use engine::{Graph, Params, Result};

use super::rounded_convolutions;
use crate::{Plan, ScaleRule};

/// Factors of channels beyond this, either way, are not taken: a channel of nothing but noise keeps its place.
const LARGEST: f32 = 1024.0;

/// Divides the channels of every quantized convolution in front of a batch norm by `s_c / s`, and returns the scale `s` of
/// each such layer. The float network stays the same up to rounding.
///
/// # Errors
/// If a parameter is missing, or a weight is NaN.
pub fn balance(
    graph: &Graph,
    params: &mut Params,
    plan: &Plan,
    rule: ScaleRule,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut scales = BTreeMap::new();
    for found in rounded_convolutions(graph, plan) {
        let (conv, norm, grid) = found?;
        let w = params.get_mut(&format!("{}.weight", conv.name))?;
        let row = w.len() / w.dims()[0];
        let s = rule.scale(w.data(), grid)?;
        let mut factors = Vec::new();
        for channel in w.data_mut().chunks_mut(row) {
            let zero = channel.iter().all(|&w| w == 0.0);
            let f = if zero { 1.0 } else { rule.scale(channel, grid)? / s };
            let f = if (1.0 / LARGEST..=LARGEST).contains(&f) { f } else { 1.0 };
            channel.iter_mut().for_each(|w| *w /= f);
            factors.push(f64::from(f));
        }
        divide(params, &norm.name, &factors)?;
        scales.insert(conv.name.clone(), vec![s]);
    }
    Ok(scales)
}

/// Lets the batch norm `norm` take back that its channels were divided by `factors`.
fn divide(params: &mut Params, norm: &str, factors: &[f64]) -> Result<()> {
    let mut change = |suffix: &str, by: &dyn Fn(usize, f64) -> f64| -> Result<()> {
        let values = params.get_mut(&format!("{norm}.{suffix}"))?.data_mut();
        values.iter_mut().enumerate().for_each(|(c, v)| *v = by(c, f64::from(*v)) as f32);
        Ok(())
    };
    change("running_mean", &|c, mean| mean / factors[c])?;
    change("running_var", &|c, var| var / factors[c].powi(2))?;
    let var = params.get(&format!("{norm}.running_var"))?.clone();
    let gamma = params.get_mut(&format!("{norm}.weight"))?.data_mut();
    for ((gamma, &var), f) in gamma.iter_mut().zip(var.data()).zip(factors) {
        // `var` is the new one: the old one is `f^2 var`.
        let var = f64::from(var);
        *gamma *= (f * ((var + EPS) / (f * f * var + EPS)).sqrt()) as f32;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use engine::Tensor;

    use super::*;
    use crate::equalize::tests::{network, outputs};
    use crate::{Grid, Policy, QParams, fake_quantize};

    #[test]
    fn channels_round_as_by_their_own_scales_and_the_network_stays_the_same() {
        let (graph, mut params) = network();
        let (want, before) = (outputs(&graph, &params), params.clone());
        let plan = Policy::Course.plan(&graph, "W3A4".parse().unwrap());
        let scales = balance(&graph, &mut params, &plan, ScaleRule::HEURISTIC).unwrap();
        assert_eq!(scales.keys().collect::<Vec<_>>(), ["conv1", "conv2"]);
        for (got, want) in outputs(&graph, &params).iter().zip(&want) {
            assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs()), "{got} instead of {want}");
        }
        // The error of the whole tensor's one scale, relative to each channel, is that of a scale per channel.
        let grid = Grid::signed(3).unwrap();
        let noise = |w: &[f32], s: f32| {
            let w = Tensor::from_vec([w.len()], w.to_vec()).unwrap();
            let w_hat = fake_quantize(&w, &QParams::per_tensor(grid, s, 0).unwrap()).unwrap();
            let error: f32 = w.data().iter().zip(w_hat.data()).map(|(a, b)| (a - b).powi(2)).sum();
            error / w.data().iter().map(|w| w * w).sum::<f32>()
        };
        let [old, new] = [&before, &params].map(|p| p.get("conv1.weight").unwrap().data());
        let row = old.len() / 8;
        for (old, new) in old.chunks(row).zip(new.chunks(row)) {
            let own = ScaleRule::HEURISTIC.scale(old, grid).unwrap();
            let (own, one) = (noise(old, own), noise(new, scales["conv1"][0]));
            assert!((own - one).abs() < 1e-4, "{own} {one}");
        }
    }
}
