//! What one batch norm remembers against what a batch of images shows it: loss and gradient, equation (5b).

use engine::ops::EPS;
use engine::{Op, Record, Tensor};

/// One batch norm's part of (5b): passes its input on, and adds the part's gradient to what comes back,
///
/// ```text
/// dx_i += (2 / (n C)) [ (m - mu) / var + (r - 1) (x_i - m) / (r var) ],    r = sqrt(v / var)
/// ```
///
/// where `n` is the number of values of the channel in the batch.
pub(super) struct Match {
    /// The part, a number.
    pub loss: f64,
    /// Of each channel, `dx_i = offset + slope x_i`.
    offset: Vec<f32>,
    slope: Vec<f32>,
}

impl Match {
    /// Of the batch norm with the running statistics `mu` and `var`, at its input `x [N, H, W, C]`. The definition of `m`
    /// and `v` is [`BatchStats::of`](engine::ops::BatchStats::of); here all channels are summed in one pass over the memory.
    /// [`EPS`] is added to both variances, so that a channel which is constant has a gradient.
    pub fn new(x: &Tensor, mu: &[f32], var: &[f32]) -> Self {
        let c = mu.len();
        let n = (x.len() / c) as f64;
        let (mut sum, mut square) = (vec![0.0; c], vec![0.0; c]);
        for row in x.data().chunks_exact(c) {
            for (i, &x) in row.iter().enumerate() {
                sum[i] += f64::from(x);
                square[i] += f64::from(x) * f64::from(x);
            }
        }
        let mut this = Self { loss: 0.0, offset: vec![0.0; c], slope: vec![0.0; c] };
        for i in 0..c {
            let (m, running) = (sum[i] / n, f64::from(var[i]) + EPS);
            let r = (((square[i] / n - m * m).max(0.0) + EPS) / running).sqrt();
            let away = m - f64::from(mu[i]);
            this.loss += (away * away / running + (r - 1.0).powi(2)) / c as f64;
            let (scale, slope) = (2.0 / (n * c as f64), (r - 1.0) / (r * running));
            this.slope[i] = (scale * slope) as f32;
            this.offset[i] = (scale * (away / running - slope * m)) as f32;
        }
        this
    }
}

impl Op for Match {
    fn name(&self) -> &'static str {
        "match_statistics"
    }

    fn backward(&self, record: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        let c = self.slope.len();
        let rows = dy.data_mut().chunks_exact_mut(c).zip(record.input(0).data().chunks_exact(c));
        for (dy, x) in rows {
            for i in 0..c {
                dy[i] += self.offset[i] + self.slope[i] * x[i];
            }
        }
        vec![Some(dy)]
    }
}

#[cfg(test)]
mod tests {
    use engine::{Tape, ops::BatchStats};

    use super::*;

    #[test]
    fn the_gradient_is_that_of_the_loss() {
        let (mu, var) = ([0.3, -0.2], [0.5, 2.0]);
        let x = Tensor::from_fn([2, 2, 2, 2], |i| ((i * i) as f32 * 0.7).sin() + 0.2 * i as f32);
        let mut tape = Tape::new();
        let leaf = tape.leaf(x.clone(), true);
        let y = tape.push(x.clone(), &[leaf], Match::new(&x, &mu, &var));
        tape.backward(y, Tensor::zeros(x.shape())).unwrap();
        for i in 0..x.len() {
            let moved = |h: f32| {
                let mut x = x.clone();
                x.data_mut()[i] += h;
                Match::new(&x, &mu, &var).loss
            };
            let (numeric, found) = ((moved(1e-3) - moved(-1e-3)) / 2e-3, tape.grad(leaf).unwrap().data()[i]);
            assert!(
                (numeric - f64::from(found)).abs() < 1e-4 * (1.0 + numeric.abs()),
                "{i}: {numeric} {found}"
            );
        }
    }

    /// (5b) of one batch norm, from the definition of a batch's statistics.
    fn loss_ref(x: &Tensor, mu: &[f32], var: &[f32]) -> f64 {
        let batch = BatchStats::of(x);
        let channel = |c: usize| {
            let [m, v, mu, var] = [batch.mean[c], batch.var[c], mu[c], var[c]].map(f64::from);
            (m - mu).powi(2) / (var + EPS) + (((v + EPS) / (var + EPS)).sqrt() - 1.0).powi(2)
        };
        (0..mu.len()).map(channel).sum::<f64>() / mu.len() as f64
    }

    #[test]
    fn the_loss_is_that_of_the_batch_statistics() {
        let (mu, var) = ([0.3, -0.2, 0.0], [0.5, 2.0, 0.1]);
        let x =
            Tensor::from_fn([3, 4, 5, 3], |i| if i % 3 == 2 { 0.25 } else { (i as f32 * 0.7).sin() + 0.5 });
        let (found, expected) = (Match::new(&x, &mu, &var).loss, loss_ref(&x, &mu, &var));
        assert!((found - expected).abs() < 1e-5 * expected, "{found} {expected}");
    }
}
