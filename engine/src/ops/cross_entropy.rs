//! Softmax cross-entropy with label smoothing, averaged over the batch:
//!
//! `p = softmax(x)`, `q = (1 - e) onehot(label) + e / C`,
//! `L = -1/N * sum_n sum_c q[n, c] log p[n, c]`, and `dL/dx = (p - q) / N` (0d).
//!
//! Label smoothing: Szegedy et al. 2016, section 7.
//!
//! ```
//! use engine::{Tape, Tensor, ops};
//! let mut tape = Tape::new();
//! let x = tape.leaf(Tensor::zeros([1, 4]), true); // four classes, each as likely as the others
//! let loss = ops::cross_entropy(&mut tape, x, &[2], 0.0)?;
//! assert!((tape.value(loss).data()[0] - 4f32.ln()).abs() < 1e-6);
//! # Ok::<(), engine::Error>(())
//! ```

use super::argmax;
use crate::{Error, Op, Record, Result, Tape, Tensor, Var};

/// `p[n, c] = exp(x[n, c]) / sum_c' exp(x[n, c'])`, computed after subtracting the row's maximum so that no
/// exponential overflows.
pub fn softmax(x: &Tensor) -> Tensor {
    let mut p = x.clone();
    for row in p.data_mut().chunks_exact_mut(x.shape().last().max(1)) {
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut sum = 0.0;
        for v in row.iter_mut() {
            *v = (*v - max).exp();
            sum += *v;
        }
        for v in row {
            *v /= sum;
        }
    }
    p
}

/// The mean loss of logits `x [N, C]` against `labels [N]` with smoothing `e` in `[0, 1)`.
///
/// # Errors
/// If there are no rows, not one label per row, a label is not below `C`, or `e` is out of range.
pub fn cross_entropy(tape: &mut Tape, x: Var, labels: &[usize], smoothing: f32) -> Result<Var> {
    let logits = tape.value(x);
    let &[n, classes] = logits.dims() else {
        return Err(Error::shape("cross_entropy", format!("logits must be [N, C], got {}", logits.shape())));
    };
    if n == 0 {
        return Err(Error::shape("cross_entropy", "no rows of logits to average over"));
    }
    if labels.len() != n {
        return Err(Error::shape("cross_entropy", format!("{n} rows of logits but {} labels", labels.len())));
    }
    if let Some((i, label)) = labels.iter().enumerate().find(|(_, l)| **l >= classes) {
        return Err(Error::value(
            "cross_entropy",
            format!("label {label} of item {i} is not below {classes}"),
        ));
    }
    if !(0.0..1.0).contains(&smoothing) {
        return Err(Error::value("cross_entropy", format!("label smoothing {smoothing} is not in [0, 1)")));
    }
    let p = softmax(logits);
    let mut loss = 0.0f64;
    for ((x, p), &label) in
        logits.data().chunks_exact(classes).zip(p.data().chunks_exact(classes)).zip(labels)
    {
        // log p_c = x_c - logsumexp(x), and logsumexp(x) = x_max - log p_max; log p_max is at least -log C.
        let best = argmax(x);
        let log_sum_exp = f64::from(x[best]) - f64::from(p[best]).ln();
        let mean = x.iter().map(|&v| f64::from(v)).sum::<f64>() / classes as f64;
        let e = f64::from(smoothing);
        loss += log_sum_exp - (1.0 - e) * f64::from(x[label]) - e * mean;
    }
    let op = CrossEntropy { p, labels: labels.to_vec(), smoothing };
    Ok(tape.push(Tensor::scalar((loss / n as f64) as f32), &[x], op))
}

/// The loss by its definition, in `f64`.
pub fn cross_entropy_ref(x: &Tensor, labels: &[usize], smoothing: f32) -> f64 {
    let (classes, e) = (x.shape().last(), f64::from(smoothing));
    let loss = |(row, &label): (&[f32], &usize)| -> f64 {
        let sum: f64 = row.iter().map(|&v| f64::from(v).exp()).sum();
        let q = |c: usize| (1.0 - e) * f64::from(c == label) + e / classes as f64;
        row.iter().enumerate().map(|(c, &v)| -q(c) * (f64::from(v).exp() / sum).ln()).sum()
    };
    x.data().chunks_exact(classes).zip(labels).map(loss).sum::<f64>() / labels.len() as f64
}

struct CrossEntropy {
    p: Tensor,
    labels: Vec<usize>,
    smoothing: f32,
}

impl Op for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn backward(&self, _: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let classes = self.p.shape().last();
        let scale = dy.data()[0] / self.labels.len() as f32;
        let mut dx = self.p.clone();
        for (row, &label) in dx.data_mut().chunks_exact_mut(classes).zip(&self.labels) {
            for v in row.iter_mut() {
                *v -= self.smoothing / classes as f32;
            }
            row[label] -= 1.0 - self.smoothing;
            for v in row {
                *v *= scale;
            }
        }
        vec![Some(dx)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::gradient_check::{check, wave};

    #[test]
    fn equal_logits_cost_log_of_the_number_of_classes() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::zeros([2, 10]), true);
        let loss = cross_entropy(&mut tape, x, &[3, 9], 0.1).unwrap();
        assert!((tape.value(loss).data()[0] - 10f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn equals_the_definition() {
        for smoothing in [0.0, 0.1] {
            let (mut tape, labels) = (Tape::new(), [0, 3, 1]);
            let x = tape.leaf(wave([3, 4], 5), true);
            let expected = cross_entropy_ref(tape.value(x), &labels, smoothing);
            let loss = cross_entropy(&mut tape, x, &labels, smoothing).unwrap();
            assert!((f64::from(tape.value(loss).data()[0]) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn gradients_equal_finite_differences() {
        for smoothing in [0.0, 0.1] {
            check(&[wave([3, 4], 5)], 1e-3, |tape, v| {
                cross_entropy(tape, v[0], &[0, 3, 1], smoothing).unwrap()
            });
        }
    }

    #[test]
    fn huge_logits_stay_finite() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::from_vec([1, 2], vec![-1e4, 1e4]).unwrap(), true);
        let loss = cross_entropy(&mut tape, x, &[0], 0.0).unwrap();
        assert_eq!(tape.value(loss).data(), [2e4]);
    }

    #[test]
    fn a_label_out_of_range_is_refused() {
        let mut tape = Tape::new();
        let x = tape.leaf(Tensor::zeros([1, 10]), true);
        let error = cross_entropy(&mut tape, x, &[11], 0.0).unwrap_err();
        assert_eq!(error.to_string(), "cross_entropy: label 11 of item 0 is not below 10");
    }
}
