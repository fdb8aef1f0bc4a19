//! An exponential moving average of the weights (Polyak and Juditsky 1992; used for evaluation, never trained).

use crate::Params;

/// Averaged parameters: `average = decay * average + (1 - decay) * current` after every step (9b). Batch norm's running
/// statistics are averaged likewise, so that they belong to the averaged weights.
#[derive(Clone, Debug)]
pub struct Ema {
    /// Share of the old average kept.
    pub decay: f32,
    /// The average.
    pub params: Params,
}

impl Ema {
    /// Starts at the current parameters.
    pub fn new(decay: f32, params: &Params) -> Self {
        Self { decay, params: params.clone() }
    }

    /// Takes in the parameters after a step.
    // book: update
    pub fn update(&mut self, current: &Params) {
        for (average, current) in self.params.iter_mut().zip(current.iter()) {
            for (a, c) in average.value.data_mut().iter_mut().zip(current.value.data()) {
                *a += (1.0 - self.decay) * (c - *a);
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
        params.push("w", Role::Weight, Tensor::full([1], 1.0)).unwrap();
        let mut ema = Ema::new(0.75, &params);
        params[0].value = Tensor::full([1], 5.0);
        ema.update(&params);
        assert_eq!(ema.params[0].value.data(), [2.0]);
    }
}
