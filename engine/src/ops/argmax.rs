//! The class a network decides for: the largest of its logits.

use crate::Tensor;

/// Position of the largest number of `row`, the first one on ties; 0 if there are none.
///
/// ```
/// assert_eq!(engine::ops::argmax(&[1.0, 5.0, 5.0]), 1);
/// ```
pub fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}

/// Number of rows of `logits [N, C]` whose largest entry (the first, on ties) is the label's.
pub fn accuracy(logits: &Tensor, labels: &[usize]) -> usize {
    let rows = logits.data().chunks_exact(logits.shape().last().max(1));
    rows.zip(labels).filter(|(row, label)| argmax(row) == **label).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_go_to_the_first_class() {
        let logits = Tensor::from_vec([2, 3], vec![1.0, 1.0, 0.0, 0.0, 2.0, 2.0]).unwrap();
        assert_eq!(accuracy(&logits, &[0, 2]), 1);
    }
}
