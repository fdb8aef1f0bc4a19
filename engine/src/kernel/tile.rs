//! The two register tiles every convolution pass is made of. Plain: the sums above [`dot`] and [`outer`], which
//! [`ops::conv2d_ref`](crate::ops::conv2d_ref) takes one product at a time.
//!
//! Both hold `MR x NR` vectors of sums in registers and do one fused multiply-add per (broadcast, vector)
//! pair, so an inner step costs `MR` broadcast loads and `NR` vector loads for `MR * NR` FMAs:
//!
//! ```text
//!                 w[k, 0..NR vectors]
//!               +--------+--------+
//!  x[p+0, k] -> | acc 00 | acc 01 |      MR pixels (or filter rows)
//!  x[p+1, k] -> | acc 10 | acc 11 |      NR vectors of output channels
//!     ...       |  ...   |  ...   |
//!               +--------+--------+
//! ```

use super::Vector;

/// One contiguous run of the sum: `len` floats of every pixel's receptive field, against `len` rows of packed
/// weights. In a padded NHWC image a whole row of the field, `KW * C` floats, is contiguous.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// Offset of the run in the padded image, for the first pixel.
    pub x: usize,
    /// First weight row.
    pub k: usize,
    /// Floats in the run.
    pub len: usize,
}

/// `acc[i][j] = sum over segments s and t < s.len of x[s.x + i * x_step + t] * w[s.k + t][j]`.
///
/// # Safety
/// Every index above lies in the memory behind `x` and `w`; the machine has the instructions of `V`.
#[inline(always)]
pub(crate) unsafe fn dot<V: Vector, const MR: usize, const NR: usize>(
    x: *const f32,
    x_step: usize,
    w: *const f32,
    segments: &[Segment],
) -> [[V; NR]; MR] {
    // SAFETY: the caller's contract.
    unsafe {
        let mut acc = [[V::zero(); NR]; MR];
        for s in segments {
            let mut w = w.add(s.k * NR * V::LANES);
            let x = x.add(s.x);
            for t in 0..s.len {
                let w_vec: [V; NR] = std::array::from_fn(|j| V::load(w.add(j * V::LANES)));
                for i in 0..MR {
                    let x_i = V::splat(*x.add(i * x_step + t));
                    for j in 0..NR {
                        acc[i][j] = acc[i][j].fma(x_i, w_vec[j]);
                    }
                }
                w = w.add(NR * V::LANES);
            }
        }
        acc
    }
}

/// `acc[i][j] += sum over p < pixels of x[p * x_step + i] * dy[p * dy_step + j]`: a rank-`pixels` update.
///
/// # Safety
/// As for [`dot`].
#[inline(always)]
pub(crate) unsafe fn outer<V: Vector, const MR: usize, const NR: usize>(
    acc: &mut [[V; NR]; MR],
    x: *const f32,
    x_step: usize,
    dy: *const f32,
    dy_step: usize,
    pixels: usize,
) {
    // SAFETY: the caller's contract.
    unsafe {
        for p in 0..pixels {
            let dy_vec: [V; NR] = std::array::from_fn(|j| V::load(dy.add(p * dy_step + j * V::LANES)));
            for i in 0..MR {
                let x_i = V::splat(*x.add(p * x_step + i));
                for j in 0..NR {
                    acc[i][j] = acc[i][j].fma(x_i, dy_vec[j]);
                }
            }
        }
    }
}
