//! Distillation: a network learns from the labels and from the logits `t` of a teacher
//! (Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network", 2015, section 2):
//!
//! ```text
//! L     = (1 - share) CE(x, labels) + share T^2 KL( softmax(t / T) || softmax(x / T) ), mean over the batch   (9e)
//! dL/dx = (1 - share) (p - q) / N   + share T ( softmax(x / T) - softmax(t / T) ) / N                      (9f)
//! ```
//!
//! `CE` is [`cross_entropy`] with its `p` and `q`. The factor `T^2` keeps the two terms' gradients of one size when the
//! temperature changes. The teacher's logits are constants.

use super::cross_entropy::{cross_entropy, softmax};
use crate::{Error, Op, Record, Result, Tape, Tensor, Var};

/// How much a teacher counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// Share of the teacher's term, 0 to 1.
    pub share: f32,
    /// Divides both networks' logits; above 1, the wrong classes' order is seen too.
    pub temperature: f32,
}

/// The mean loss of logits `x [N, C]` against `labels [N]` with smoothing and the teacher's logits `t [N, C]`.
///
/// # Errors
/// As [`cross_entropy`]; or if the teacher's logits have another shape, the share is not in `[0, 1]`, or the
/// temperature is not positive.
pub fn distill(
    tape: &mut Tape,
    x: Var,
    labels: &[usize],
    smoothing: f32,
    teacher: &Tensor,
    how: Distillation,
) -> Result<Var> {
    let Distillation { share, temperature } = how;
    let positive = temperature.is_finite() && temperature > 0.0;
    if !(0.0..=1.0).contains(&share) || !positive {
        let detail = format!("share {share} is not in [0, 1], or temperature {temperature} not positive");
        return Err(Error::value("distillation", detail));
    }
    tape.value(x).expect_same_shape("distillation", teacher)?;
    let hard = cross_entropy(tape, x, labels, smoothing)?;
    let (p, q) = (tempered(tape.value(x), temperature), tempered(teacher, temperature));
    let soft = divergence(teacher, tape.value(x), temperature) / labels.len() as f64;
    let weight = f64::from(share * temperature * temperature);
    let loss = (1.0 - f64::from(share)) * f64::from(tape.value(hard).data()[0]) + weight * soft;
    let mut difference = p;
    let scale = share * temperature / labels.len() as f32;
    difference.data_mut().iter_mut().zip(q.data()).for_each(|(p, q)| *p = scale * (*p - q));
    let op = Distill { hard: 1.0 - share, soft: difference };
    Ok(tape.push(Tensor::scalar(loss as f32), &[hard, x], op))
}

/// `softmax(x / T)`.
fn tempered(x: &Tensor, temperature: f32) -> Tensor {
    let mut x = x.clone();
    x.data_mut().iter_mut().for_each(|v| *v /= temperature);
    softmax(&x)
}

/// `sum q (log q - log p)` of `q = softmax(t / T)` and `p = softmax(x / T)`, each logarithm as `x / T - log sum exp(x / T)`:
/// a probability may underflow, its logarithm does not.
fn divergence(t: &Tensor, x: &Tensor, temperature: f32) -> f64 {
    let logs = |row: &[f32]| -> Vec<f64> {
        let row: Vec<f64> = row.iter().map(|&v| f64::from(v) / f64::from(temperature)).collect();
        let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum = row.iter().map(|v| (v - top).exp()).sum::<f64>().ln();
        row.iter().map(|v| v - top - sum).collect()
    };
    let classes = x.dims().last().copied().unwrap_or(0).max(1);
    let rows = t.data().chunks(classes).zip(x.data().chunks(classes));
    let of_row = |(t, x)| logs(t).iter().zip(logs(x)).map(|(q, p)| q.exp() * (q - p)).sum::<f64>();
    rows.map(of_row).sum()
}

struct Distill {
    /// Weight of the labels' loss.
    hard: f32,
    /// Gradient of the teacher's term.
    soft: Tensor,
}

impl Op for Distill {
    fn name(&self) -> &'static str {
        "distill"
    }

    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let dy = dy.data()[0];
        let mut dx = self.soft.clone();
        dx.data_mut().iter_mut().for_each(|v| *v *= dy);
        vec![Some(Tensor::scalar(self.hard * dy)), Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn gradients_equal_finite_differences() {
        for (share, temperature) in [(0.0, 1.0), (0.5, 1.0), (0.7, 4.0), (1.0, 2.0)] {
            let how = Distillation { share, temperature };
            check(&[wave([3, 4], 5)], 1e-3, |tape, v| {
                distill(tape, v[0], &[0, 3, 1], 0.1, &wave([3, 4], 8), how).unwrap()
            });
        }
    }

    #[test]
    fn a_confident_mistake_costs_as_much_as_it_is_wrong() {
        for d in [50.0, 200.0, 1e4] {
            let mut tape = Tape::new();
            let x = tape.leaf(Tensor::from_vec([1, 2], vec![0.0, d]).unwrap(), true);
            let teacher = Tensor::from_vec([1, 2], vec![d, 0.0]).unwrap();
            let how = Distillation { share: 1.0, temperature: 1.0 };
            let loss = distill(&mut tape, x, &[0], 0.0, &teacher, how).unwrap();
            assert!((tape.value(loss).data()[0] / d - 1.0).abs() < 1e-6, "{d}");
        }
    }

    #[test]
    fn the_teachers_own_logits_leave_the_labels_term_alone() {
        let mut tape = Tape::new();
        let x = tape.leaf(wave([2, 5], 1), true);
        let how = Distillation { share: 0.25, temperature: 3.0 };
        let loss = distill(&mut tape, x, &[1, 2], 0.0, &wave([2, 5], 1), how).unwrap();
        let labels = cross_entropy(&mut tape, x, &[1, 2], 0.0).unwrap();
        let expected = 0.75 * tape.value(labels).data()[0];
        assert!((tape.value(loss).data()[0] - expected).abs() < 1e-6);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let mut tape = Tape::new();
        let x = tape.leaf(wave([2, 5], 1), true);
        let mut message = |share, temperature, classes| {
            let how = Distillation { share, temperature };
            distill(&mut tape, x, &[1, 2], 0.0, &wave([2, classes], 1), how).unwrap_err().to_string()
        };
        assert!(message(1.5, 1.0, 5).contains("share 1.5"));
        assert!(message(0.5, 0.0, 5).contains("temperature 0"));
        assert!(message(0.5, 1.0, 4).contains("distillation"));
    }
}
