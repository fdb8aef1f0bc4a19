//! Whether a cheap stand-in orders candidates as the measurement does: Spearman's rank correlation.
//!
//! ```text
//! rho  =  cov(rank x, rank y) / ( std(rank x) std(rank y) )                                     (6d)
//! ```
//!
//! 1 is the same order, -1 the opposite, 0 no relation. Equal values share the mean of their ranks.
//!
//! Source: Spearman, "The proof and measurement of association between two things" (American Journal of Psychology 15,
//! 1904).

/// Spearman's rank correlation of `x` and `y`, values of the same candidates; `None` if one of the two is constant or
/// there are fewer than two.
///
/// ```
/// use quant::mixed::rank::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 100.0, 1000.0]), Some(1.0));
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let (x, y) = (ranks(x), ranks(y));
    let mean = (x.len() as f64 - 1.0) / 2.0;
    let moment = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>();
    let (xx, yy) = (moment(&x, &x), moment(&y, &y));
    (xx > 0.0 && yy > 0.0).then(|| moment(&x, &y) / (xx * yy).sqrt())
}

/// The rank of each value from 0; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let first = order.iter().position(|i| *i == equal[0]).unwrap_or(0);
        equal.iter().for_each(|&i| ranks[i] = first as f64 + (equal.len() as f64 - 1.0) / 2.0);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_by_hand() {
        // Ranks 0 1 2 3 and 1 0 3 2: covariance 3 of 5.
        let rho = spearman(&[1.0, 2.0, 3.0, 4.0], &[20.0, 10.0, 40.0, 30.0]).unwrap();
        assert!((rho - 0.6).abs() < 1e-12, "{rho}");
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 9.0]), [1.5, 0.0, 1.5, 3.0]);
        assert_eq!(spearman(&[3.0, 2.0, 1.0], &[1.0, 2.0, 3.0]), Some(-1.0));
    }
}
