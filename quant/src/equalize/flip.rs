//! Channels turned over: the grid of eq 1 reaches further below zero than above, so that a channel whose tail lies above
//! is rounded better with its sign changed.
//!
//! A batch norm undoes the factor -1 of a channel in front of it as it undoes any other:
//!
//! ```text
//! gamma (w x - mu) / sqrt(var + eps)  =  (-gamma) ((-w) x - (-mu)) / sqrt(var + eps)
//!
//! flip channel c  if   || -w_c - Q(-w_c) ||^2  <  || w_c - Q(w_c) ||^2                         (7g)
//! ```
//!
//! `Q` rounds a channel by the scale that the rule chooses for it. With many bits the two errors are nearly the same; with
//! two bits `{-2s, -s, 0, s}` clips what is above a step, and with one bit, `{-s, 0}`, everything above zero is lost: then each channel
//! keeps the half of its weights that matters more.

use engine::{Graph, Params, Result};

use super::rounded_convolutions;
use crate::numbers::uniform::quantize_value;
use crate::{Grid, Plan, ScaleRule};

/// Changes the sign of the channels that (7g) names, in every quantized convolution in front of a batch norm. The float network
/// stays the same.
///
/// # Errors
/// If a parameter is missing, or a weight is NaN.
pub fn flip(graph: &Graph, params: &mut Params, plan: &Plan, rule: ScaleRule) -> Result<()> {
    for found in rounded_convolutions(graph, plan) {
        let (conv, norm, grid) = found?;
        let w = params.get_mut(&format!("{}.weight", conv.name))?;
        let flipped = flips(w.data(), w.dims()[0], rule, grid)?;
        change_signs(w.data_mut(), &flipped);
        for suffix in ["weight", "running_mean"] {
            change_signs(params.get_mut(&format!("{}.{suffix}", norm.name))?.data_mut(), &flipped);
        }
    }
    Ok(())
}

/// Which of the `channels` of `w` round better with their sign changed.
///
/// # Errors
/// If a weight is NaN.
pub fn flips(w: &[f32], channels: usize, rule: ScaleRule, grid: Grid) -> Result<Vec<bool>> {
    let decide = |channel: &[f32]| {
        let turned: Vec<f32> = channel.iter().map(|w| -w).collect();
        Ok(rounding_error(&turned, rule, grid)? < rounding_error(channel, rule, grid)?)
    };
    w.chunks(w.len() / channels).map(decide).collect()
}

/// Changes the sign of the values of each channel that is flipped.
pub fn change_signs(values: &mut [f32], flipped: &[bool]) {
    let row = values.len() / flipped.len();
    for (channel, _) in values.chunks_mut(row).zip(flipped).filter(|(_, flipped)| **flipped) {
        channel.iter_mut().for_each(|v| *v = -*v);
    }
}

/// `||w - Q(w)||^2` with the scale that `rule` chooses.
fn rounding_error(w: &[f32], rule: ScaleRule, grid: Grid) -> Result<f64> {
    let s = rule.scale(w, grid)?;
    let error = |&w: &f32| {
        let w_int = quantize_value(w, s, 0, grid)?;
        Ok((f64::from(w) - f64::from(s) * f64::from(w_int)).powi(2))
    };
    w.iter().map(error).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use crate::equalize::tests::{network, outputs};

    #[test]
    fn channels_turn_over_where_that_rounds_better_and_the_network_stays_the_same() {
        let (graph, mut params) = network();
        let (want, before) = (outputs(&graph, &params), params.clone());
        for bits in ["W1A4", "W2A4"] {
            params = before.clone();
            let plan = Policy::Course.plan(&graph, bits.parse().unwrap());
            flip(&graph, &mut params, &plan, ScaleRule::HEURISTIC).unwrap();
            for (got, want) in outputs(&graph, &params).iter().zip(&want) {
                assert!((got - want).abs() <= 1e-5 * (1.0 + want.abs()), "{got} instead of {want}");
            }
            let grid = Grid::signed(plan.get("conv1").unwrap().w).unwrap();
            let [old, new] = [&before, &params].map(|p| p.get("conv1.weight").unwrap().data());
            let row = old.len() / 8;
            let (mut turned, error) = (0, |w: &[f32]| rounding_error(w, ScaleRule::HEURISTIC, grid).unwrap());
            for (old, new) in old.chunks(row).zip(new.chunks(row)) {
                let negative: Vec<f32> = old.iter().map(|w| -w).collect();
                assert_eq!(error(new), error(old).min(error(&negative)));
                turned += usize::from(new == negative);
            }
            assert!((1..8).contains(&turned), "{turned} of 8 channels turned over at {bits}");
        }
        assert_eq!(before.get("conv.weight").unwrap(), params.get("conv.weight").unwrap(), "it stays float");
    }

    #[test]
    fn by_hand() {
        // One bit, {-s, 0}: of 3, 2, -1 the lower half is the larger one if the sign is changed.
        let grid = Grid::signed(1).unwrap();
        let flips = flips(&[3.0, 2.0, -1.0, -3.0, -2.0, 1.0], 2, ScaleRule::HEURISTIC, grid).unwrap();
        assert_eq!(flips, [true, false]);
        let mut values = [1.0, 2.0, 3.0, 4.0];
        change_signs(&mut values, &flips);
        assert_eq!(values, [-1.0, -2.0, 3.0, 4.0]);
    }
}
