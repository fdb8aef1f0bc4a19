//! An exponential moving average of the weights (Polyak and Juditsky 1992; used for evaluation, never trained).

use crate::Params;

/// Averaged parameters: the mean of the parameters after steps 1 to `t`, those after step `i` counting `decay^(t - i)` times,
///
/// ```text
/// average  <-  average + share_t (w - average),      share_t = (1 - decay) / (1 - decay^t)        (9b)
/// ```
///
/// In the long run that is `decay * average + (1 - decay) * w`. Were `share_t` so from the start, what the run began with would
/// count `decay^t` times: after 75 steps at 0.998, a network of random weights would still be 86% of the average. (It is what
/// Adam does to its moments: Kingma and Ba 2015, section 3.) Batch norm's running statistics are averaged likewise, so that they
/// belong to the averaged weights.
#[derive(Clone, Debug)]
pub struct Ema {
    /// Share of the old average that is kept after many steps, at least 0 and below 1.
    pub decay: f32,
    /// The average.
    pub params: Params,
}

impl Ema {
    /// Before the first step; what the parameters are now has no part in the average.
    pub fn new(decay: f32, params: &Params) -> Self {
        Self { decay, params: params.clone() }
    }

    /// `share_t` of (9b): what the parameters after step `t`, counted from 1, are of the average.
    // book: update
    pub fn share(&self, t: usize) -> f32 {
        let decay = f64::from(self.decay);
        ((1.0 - decay) / (1.0 - decay.powi(t.max(1) as i32))) as f32
    }

    /// Takes in the parameters after step `t`.
    pub fn update(&mut self, current: &Params, t: usize) {
        let share = self.share(t);
        for (average, current) in self.params.iter_mut().zip(current.iter()) {
            for (a, c) in average.value.data_mut().iter_mut().zip(current.value.data()) {
                *a += share * (c - *a);
            }
        }
    }
    // book end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Role, Tensor};

    #[test]
    fn moves_by_its_share() {
        let mut params = Params::default();
        params.push("w", Role::Weight, Tensor::full([1], 100.0)).unwrap();
        let mut ema = Ema::new(0.75, &params);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (t, w) in [5.0, 1.0, -2.0, 8.0].into_iter().enumerate() {
            params[0].value = Tensor::full([1], w);
            ema.update(&params, t + 1);
            (sum, weight) = (0.75 * sum + w, 0.75 * weight + 1.0);
            assert!((ema.params[0].value.data()[0] - sum / weight).abs() < 1e-6);
        }
        assert_eq!(ema.share(100_000), 0.25);
    }
}
