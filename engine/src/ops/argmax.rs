//! The largest of some numbers.

/// Position of the largest number of `row`, the first one on ties; 0 if there are none.
///
/// ```
/// assert_eq!(engine::ops::argmax(&[1.0, 5.0, 5.0]), 1);
/// ```
pub fn argmax<T: PartialOrd>(row: &[T]) -> usize {
    (1..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best })
}
