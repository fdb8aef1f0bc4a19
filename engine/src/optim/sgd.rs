//! SGD with momentum (Nesterov or heavy ball) and weight decay, as PyTorch defines it:
//!
//! `g = dw + weight_decay * w`, `v = momentum * v + g` (`v = g` in the first step),
//! `w = w - lr * (g + momentum * v)` with Nesterov (0f), else `w = w - lr * v`.

use crate::{Error, Params, Result, Role, Tensor};

/// The optimizer and its state, one velocity per parameter.
#[derive(Clone, Debug)]
pub struct Sgd {
    /// Share of the old velocity kept.
    pub momentum: f32,
    /// Look ahead along the velocity (Nesterov 1983, in the form of Sutskever et al. 2013).
    pub nesterov: bool,
    /// L2 penalty.
    pub weight_decay: f32,
    /// Whether the penalty also pulls on biases and batch norm's parameters.
    pub decay_all: bool,
    velocity: Vec<Option<Tensor>>,
}

impl Sgd {
    /// An optimizer at rest.
    pub fn new(momentum: f32, nesterov: bool, weight_decay: f32, decay_all: bool) -> Self {
        Self { momentum, nesterov, weight_decay, decay_all, velocity: Vec::new() }
    }

    /// One step with learning rate `lr`. `grads[i]` belongs to `params[i]`; parameters without a gradient stay.
    ///
    /// # Errors
    /// If a gradient has not its parameter's shape.
    pub fn step(&mut self, params: &mut Params, grads: &[Option<&Tensor>], lr: f32) -> Result<()> {
        self.velocity.resize(params.len(), None);
        for ((param, grad), velocity) in params.iter_mut().zip(grads).zip(&mut self.velocity) {
            let Some(grad) = grad else { continue };
            param.value.expect_same_shape("sgd", grad)?;
            let decayed = self.decay_all || param.role == Role::Weight;
            let decay = if decayed { self.weight_decay } else { 0.0 };
            let first = velocity.is_none();
            let velocity = velocity.get_or_insert_with(|| Tensor::zeros(grad.shape()));
            let momentum = if first { 0.0 } else { self.momentum };
            for ((w, dw), v) in param.value.data_mut().iter_mut().zip(grad.data()).zip(velocity.data_mut()) {
                // book: step
                let g = dw + decay * *w;
                *v = momentum * *v + g;
                *w -= lr * if self.nesterov { g + self.momentum * *v } else { *v };
                // book end
            }
        }
        Ok(())
    }

    /// The velocities, named by parameter, for a checkpoint.
    pub fn state<'a>(&'a self, params: &'a Params) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        params.iter().zip(&self.velocity).filter_map(|(p, v)| Some((p.name.as_str(), v.as_ref()?)))
    }

    /// Restores a velocity from a checkpoint.
    ///
    /// # Errors
    /// If there is no such parameter or the shape is another.
    pub fn restore(&mut self, params: &Params, name: &str, velocity: Tensor) -> Result<()> {
        params.get(name)?.expect_same_shape("sgd state", &velocity)?;
        let Some(i) = params.index(name) else {
            return Err(Error::value("sgd state", format!("no parameter `{name}`")));
        };
        self.velocity.resize(params.len(), None);
        self.velocity[i] = Some(velocity);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(w: f32, role: Role) -> Params {
        let mut params = Params::default();
        params.push("w", role, Tensor::full([1], w)).unwrap();
        params
    }

    #[test]
    fn two_nesterov_steps_by_hand() {
        let (mut params, mut sgd) = (one(1.0, Role::Weight), Sgd::new(0.5, true, 0.1, false));
        let grad = Tensor::full([1], 0.4);
        sgd.step(&mut params, &[Some(&grad)], 0.1).unwrap();
        // g = 0.5, v = 0.5, w = 1 - 0.1 * (0.5 + 0.25)
        assert!((params[0].value.data()[0] - 0.925).abs() < 1e-6);
        sgd.step(&mut params, &[Some(&grad)], 0.1).unwrap();
        // g = 0.4925, v = 0.7425, w = 0.925 - 0.1 * (0.4925 + 0.37125)
        assert!((params[0].value.data()[0] - 0.838625).abs() < 1e-6);
    }

    #[test]
    fn norms_are_not_decayed_unless_asked() {
        let grad = Tensor::zeros([1]);
        for (decay_all, expected) in [(false, 1.0), (true, 0.99)] {
            let (mut params, mut sgd) = (one(1.0, Role::Norm), Sgd::new(0.0, false, 0.1, decay_all));
            sgd.step(&mut params, &[Some(&grad)], 0.1).unwrap();
            assert_eq!(params[0].value.data(), [expected]);
        }
    }

    #[test]
    fn a_restored_state_continues_the_same_way() {
        let grad = Tensor::full([1], 0.4);
        let (mut params, mut sgd) = (one(1.0, Role::Weight), Sgd::new(0.9, true, 0.0, false));
        sgd.step(&mut params, &[Some(&grad)], 0.1).unwrap();
        let mut other = Sgd::new(0.9, true, 0.0, false);
        let state: Vec<_> = sgd.state(&params).map(|(n, t)| (n.to_string(), t.clone())).collect();
        for (name, v) in state {
            other.restore(&params, &name, v).unwrap();
        }
        let mut copy = params.clone();
        sgd.step(&mut params, &[Some(&grad)], 0.1).unwrap();
        other.step(&mut copy, &[Some(&grad)], 0.1).unwrap();
        assert_eq!(params, copy);
    }
}
