//! Matrix products: a checked wrapper over `matrixmultiply`, used by the im2col convolution and the
//! linear layer. Single-threaded: callers run it inside rayon tasks, one per image.
#![allow(unsafe_code)]

/// A read-only matrix inside a slice: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
#[derive(Clone, Copy)]
pub struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `data` as a row-major `rows x cols` matrix.
    ///
    /// # Panics
    /// If `data` is too short.
    pub fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        // Not `rows * cols`, which wraps.
        let fits = rows.checked_mul(cols).is_some_and(|n| n <= data.len());
        assert!(fits, "a {rows}x{cols} matrix needs more than {} numbers", data.len());
        Self { data, rows, cols, row_stride: cols, col_stride: 1 }
    }

    /// The transpose, without moving anything.
    pub fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }

    fn at(&self, i: usize, j: usize) -> f32 {
        self.data[i * self.row_stride + j * self.col_stride]
    }
}

/// `c = a b + beta c`, with `a [m, k]`, `b [k, n]` and row-major `c [m, n]`.
///
/// # Panics
/// If the shapes do not fit.
pub fn gemm(a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    let (m, k, n) = (a.rows, a.cols, b.cols);
    assert_eq!(b.rows, k, "inner dimensions differ: [{m}, {k}] x [{}, {n}]", b.rows);
    assert!(
        m.checked_mul(n).is_some_and(|mn| mn <= c.len()),
        "the result [{m}, {n}] needs more than {} numbers",
        c.len()
    );
    let (rsa, csa) = (a.row_stride as isize, a.col_stride as isize);
    let (rsb, csb) = (b.row_stride as isize, b.col_stride as isize);
    // SAFETY: `Matrix` checked that every `(i, j)` of `a` and `b` lies in its slice, the assertion above
    // does so for `c`, and `c` is borrowed exclusively.
    unsafe {
        matrixmultiply::sgemm(
            m,
            k,
            n,
            1.0,
            a.data.as_ptr(),
            rsa,
            csa,
            b.data.as_ptr(),
            rsb,
            csb,
            beta,
            c.as_mut_ptr(),
            n as isize,
            1,
        );
    }
}

/// The product by its definition, in `f64`: `c_ij = sum_k a_ik b_kj + beta c_ij`.
pub fn gemm_ref(a: Matrix<'_>, b: Matrix<'_>, beta: f32, c: &mut [f32]) {
    for i in 0..a.rows {
        for j in 0..b.cols {
            let sum: f64 = (0..a.cols).map(|k| f64::from(a.at(i, k)) * f64::from(b.at(k, j))).sum();
            let c = &mut c[i * b.cols + j];
            *c = (sum + f64::from(beta) * f64::from(*c)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "needs more than 0 numbers")]
    fn sizes_that_wrap_are_refused() {
        Matrix::new(&[], 1 << (usize::BITS - 1), 2);
    }

    #[test]
    fn equals_the_definition_for_plain_and_transposed_operands() {
        let numbers: Vec<f32> = (0..70).map(|i| ((i * 37 % 19) as f32 - 9.0) / 8.0).collect();
        let a = Matrix::new(&numbers, 5, 7);
        let b = Matrix::new(&numbers[20..], 7, 6);
        let (bt, at) = (Matrix::new(&numbers[20..], 6, 7).t(), Matrix::new(&numbers, 7, 5).t());
        for (a, b) in [(a, b), (a, bt), (at, b), (at, bt)] {
            let (mut c, mut expected) = (vec![0.5; 30], vec![0.5; 30]);
            gemm(a, b, 1.0, &mut c);
            gemm_ref(a, b, 1.0, &mut expected);
            for (c, e) in c.iter().zip(&expected) {
                assert!((c - e).abs() <= 1e-5 * (1.0 + e.abs()), "{c} vs {e}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "inner dimensions differ")]
    fn refuses_shapes_that_do_not_fit() {
        let numbers = [0.0; 12];
        gemm(Matrix::new(&numbers, 3, 4), Matrix::new(&numbers, 3, 4), 0.0, &mut [0.0; 12]);
    }
}
