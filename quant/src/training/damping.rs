//! Damping of oscillations: weights are drawn to the middle of the step they round to.
//!
//! Near a tie a latent weight jumps between two codes from step to step ([chapter 3](../../../docs/3-ste.md), exercise
//! 3), and batch norm's averages then describe a network that never existed. With `w_hat` taken as a constant,
//!
//! ```text
//! L_damp  =  lambda sum (w - w_hat)^2    over the weights inside the clip range               (9h)
//! dw     +=  2 lambda (w - w_hat)
//! ```
//!
//! pulls each weight away from the ties: Nagel et al., "Overcoming oscillations in quantization-aware training" (ICML
//! 2022), section 4.1. Early on, weights should be free to change their codes, so `lambda` grows from zero along the
//! cosine by which the learning rate falls.

use engine::{Op, Record, Tape, Tensor, Var};

use crate::QParams;

/// `w_hat` as it is, with the gradient of (9h) for `w`, inside the clip range that `q` gives each channel.
pub fn damp_on(tape: &mut Tape, w: Var, w_hat: Var, q: &QParams, lambda: f32) -> Var {
    let ranges = (0..q.scales().len()).map(|c| q.clip_range(c)).collect();
    let value = tape.value(w_hat).clone();
    tape.push(value, &[w, w_hat], Damp { ranges, lambda })
}

struct Damp {
    /// Of the whole tensor, or of each index of axis 0.
    ranges: Vec<(f32, f32)>,
    lambda: f32,
}

impl Op for Damp {
    fn name(&self) -> &'static str {
        "damp"
    }

    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let (w, w_hat) = (record.input(0), record.input(1));
        let channel = (w.len() / self.ranges.len()).max(1);
        let dw = Tensor::from_fn(w.shape(), |i| {
            let (w, w_hat, (lo, hi)) = (w.data()[i], w_hat.data()[i], self.ranges[i / channel]);
            // book: damp
            if (lo..=hi).contains(&w) { 2.0 * self.lambda * (w - w_hat) } else { 0.0 }
            // book end
        });
        vec![Some(dw), Some(dy)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::fake_quantize::fake_quantize_on;
    use crate::{Grid, QParams, Ste};

    #[test]
    fn each_channel_has_a_range_of_its_own() {
        let q = QParams::per_channel(Grid::signed(2).unwrap(), vec![0.5, 0.1], vec![0, 0]).unwrap();
        let mut tape = Tape::new();
        let w = tape.leaf(Tensor::from_vec([2, 2], vec![-0.6, 0.2, -0.6, 0.02]).unwrap(), true);
        let w_hat = fake_quantize_on(&mut tape, w, &q, Ste::Identity).unwrap();
        let y = damp_on(&mut tape, w, w_hat, &q, 0.5);
        tape.backward(y, Tensor::zeros([2, 2])).unwrap();
        for (dw, expected) in tape.grad(w).unwrap().data().iter().zip([-0.1, 0.2, 0.0, 0.02]) {
            assert!((dw - expected).abs() < 1e-6, "{dw} {expected}");
        }
    }

    #[test]
    fn weights_inside_get_the_pull_of_the_formula_beside_their_gradient() {
        let q = QParams::per_tensor(Grid::signed(2).unwrap(), 0.5, 0).unwrap(); // -1, -0.5, 0, 0.5
        let mut tape = Tape::new();
        let w = tape.leaf(Tensor::from_vec([4], vec![-3.0, -0.6, 0.2, 0.7]).unwrap(), true);
        let w_hat = fake_quantize_on(&mut tape, w, &q, Ste::Identity).unwrap();
        let y = damp_on(&mut tape, w, w_hat, &q, 0.25);
        assert_eq!(tape.value(y).data(), [-1.0, -0.5, 0.0, 0.5]);
        tape.backward(y, Tensor::from_vec([4], vec![1., 2., 3., 4.]).unwrap()).unwrap();
        let expected = [1.0, 2.0 - 0.5 * 0.1, 3.0 + 0.5 * 0.2, 4.0];
        for (dw, expected) in tape.grad(w).unwrap().data().iter().zip(expected) {
            assert!((dw - expected).abs() < 1e-6, "{dw} {expected}");
        }
    }

    #[test]
    fn a_weight_that_jumps_between_two_codes_settles() {
        // L = (w_hat - 0.2)^2 on a grid of step 0.5: plain straight-through training jumps across the tie at 0.25.
        let q = QParams::per_tensor(Grid::signed(4).unwrap(), 0.5, 0).unwrap();
        let jumps = |lambda: f32| {
            let (mut w, mut last, mut jumps) = (0.23f32, 0.0, 0);
            for _ in 0..200 {
                let mut tape = Tape::new();
                let x = tape.leaf(Tensor::scalar(w), true);
                let w_hat = fake_quantize_on(&mut tape, x, &q, Ste::Identity).unwrap();
                let y = damp_on(&mut tape, x, w_hat, &q, lambda);
                let value = tape.value(y).data()[0];
                jumps += usize::from(value != last);
                last = value;
                tape.backward(y, Tensor::scalar(2.0 * (value - 0.2))).unwrap();
                w -= 0.02 * tape.grad(x).unwrap().data()[0];
            }
            jumps
        };
        assert!(jumps(0.0) > 20, "{}", jumps(0.0));
        assert_eq!(jumps(2.0), 0);
    }
}
