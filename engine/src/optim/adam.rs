//! Adam (Kingma and Ba 2015, algorithm 1): every number has a step of its own.
//!
//! ```text
//! m <- b1 m + (1 - b1) g          the mean of its gradients
//! v <- b2 v + (1 - b2) g^2        the mean of their squares
//! w <- w - lr (m / (1 - b1^t)) / ( sqrt(v / (1 - b2^t)) + eps )
//! ```
//!
//! with `b1 = 0.9`, `b2 = 0.999`, `eps = 1e-8`, and `t` the number of gradients that the parameter has had. The quotient
//! is about 1 whatever the gradient's size, so that one learning rate suits numbers whose gradients differ by orders of
//! magnitude.

use crate::{Params, Result, Tensor};

/// Share of the old mean kept.
const B1: f32 = 0.9;
/// Share of the old mean square kept.
const B2: f32 = 0.999;
const EPS: f32 = 1e-8;

/// The optimizer and its state.
#[derive(Clone, Debug, Default)]
pub struct Adam {
    /// Of each parameter that has had a gradient: how many, `m` and `v`.
    moments: Vec<Option<(i32, [Tensor; 2])>>,
}

impl Adam {
    /// One step. `grads[i]` belongs to `params[i]`, and so does the learning rate `rates[i]`; parameters without a gradient
    /// stay.
    ///
    /// # Errors
    /// If a gradient has not its parameter's shape.
    pub fn step(&mut self, params: &mut Params, grads: &[Option<Tensor>], rates: &[f32]) -> Result<()> {
        self.moments.resize(params.len(), None);
        for (((param, grad), moments), lr) in params.iter_mut().zip(grads).zip(&mut self.moments).zip(rates) {
            let Some(grad) = grad else { continue };
            param.value.expect_same_shape("adam", grad)?;
            let (t, [m, v]) = moments.get_or_insert_with(|| (0, [0, 1].map(|_| Tensor::zeros(grad.shape()))));
            *t += 1;
            let (unbias_m, unbias_v) = (1.0 - B1.powi(*t), 1.0 - B2.powi(*t));
            let moments = m.data_mut().iter_mut().zip(v.data_mut());
            for ((w, g), (m, v)) in param.value.data_mut().iter_mut().zip(grad.data()).zip(moments) {
                *m = B1 * *m + (1.0 - B1) * g;
                *v = B2 * *v + (1.0 - B2) * g * g;
                *w -= lr * (*m / unbias_m) / ((*v / unbias_v).sqrt() + EPS);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Role;

    fn params(w: f32) -> Params {
        let mut params = Params::default();
        params.push("w", Role::Weight, Tensor::full([1], w)).unwrap();
        params
    }

    #[test]
    fn the_first_step_is_the_learning_rate_whatever_the_gradient() {
        for g in [1e-3, 1.0, -50.0] {
            let (mut params, mut adam) = (params(1.0), Adam::default());
            adam.step(&mut params, &[Some(Tensor::full([1], g))], &[0.1]).unwrap();
            assert!((params[0].value.data()[0] - (1.0 - 0.1 * g.signum())).abs() < 1e-5);
        }
    }

    #[test]
    fn two_steps_by_hand() {
        let (mut params, mut adam) = (params(1.0), Adam::default());
        adam.step(&mut params, &[Some(Tensor::full([1], 2.0))], &[0.1]).unwrap();
        adam.step(&mut params, &[Some(Tensor::full([1], -1.0))], &[0.1]).unwrap();
        // m = 0.9 * 0.2 - 0.1 = 0.08, unbiased by 0.19; v = 0.999 * 0.004 + 0.001 = 0.004996, unbiased by 0.001999
        let expected = 0.9 - 0.1 * (0.08 / 0.19) / (0.004996f32 / 0.001999).sqrt();
        assert!((params[0].value.data()[0] - expected).abs() < 1e-5);
        adam.step(&mut params, &[None], &[0.1]).unwrap();
        assert!((params[0].value.data()[0] - expected).abs() < 1e-5, "without a gradient it stays");
    }

    #[test]
    fn a_parameter_that_comes_late_begins_as_any_other() {
        let (mut params, mut adam) = (params(1.0), Adam::default());
        params.push("late", Role::Weight, Tensor::full([1], 1.0)).unwrap();
        let one = || Some(Tensor::full([1], 1.0));
        for _ in 0..1000 {
            adam.step(&mut params, &[one(), None], &[0.1; 2]).unwrap();
        }
        adam.step(&mut params, &[one(), one()], &[0.1; 2]).unwrap();
        assert!((params[1].value.data()[0] - 0.9).abs() < 1e-5);
    }
}
