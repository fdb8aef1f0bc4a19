//! How wide an accumulator must be, proven before anything is added up.
//!
//! ```text
//! | sum (x_int + z_x) w_int + b_int |  <=  max|x_int + z_x| * sum|w_int| + |b_int|      (4c)
//! ```
//!
//! If the right side is below `2^31` for every output channel, 32 bits hold every result. Partial sums
//! may then be added modulo `2^32` in any order: what is congruent to a number that fits, is it.
//! Otherwise 64 bits are taken.

use engine::{Shape, Tensor};

use crate::IntTensor;

/// The results of an integer layer, as wide as the bound asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Accumulators {
    /// The bound is below `2^31` for every channel.
    I32(IntTensor<i32>),
    /// It is not.
    I64(IntTensor<i64>),
}

/// `max|x| * sum|w| + |b|`: what no accumulator of the channel can exceed.
// book: accumulator_bound
pub fn accumulator_bound(largest_x: i64, sum_abs_w: i64, b: i64) -> i64 {
    largest_x.saturating_mul(sum_abs_w).saturating_add(b.saturating_abs())
}
// book end

/// Whether 32 bits hold anything within the bound.
pub fn fits_i32(bound: i64) -> bool {
    bound < 1 << 31
}

impl Accumulators {
    /// The shape; the last axis is the output channel.
    pub fn shape(&self) -> Shape {
        match self {
            Self::I32(t) => t.shape(),
            Self::I64(t) => t.shape(),
        }
    }

    /// All results, in 64 bits.
    pub fn to_i64(&self) -> Vec<i64> {
        match self {
            Self::I32(t) => t.data().iter().map(|&v| i64::from(v)).collect(),
            Self::I64(t) => t.data().to_vec(),
        }
    }

    /// `y = scale[channel] * accumulator`: the product in `f64`, then rounded to `f32`.
    ///
    /// # Panics
    /// Unless there is one scale for each channel (index of the last axis).
    pub fn rescale(&self, scale: &[f64]) -> Tensor {
        use rayon::prelude::*;
        let channels = self.shape().last();
        assert_eq!(scale.len(), channels, "{} scales for {channels} channels", scale.len());
        let mut y = Tensor::scratch(self.shape());
        // A whole number of rows of channels in each task.
        let task = scale.len().max(1) * 1024;
        match self {
            Self::I32(t) => {
                y.data_mut().par_chunks_mut(task).zip(t.data().par_chunks(task)).for_each(|(y, acc)| {
                    for (y, acc) in y.chunks_mut(scale.len()).zip(acc.chunks(scale.len())) {
                        for ((y, &acc), &s) in y.iter_mut().zip(acc).zip(scale) {
                            *y = (s * f64::from(acc)) as f32;
                        }
                    }
                })
            }
            Self::I64(t) => {
                y.data_mut().par_chunks_mut(task).zip(t.data().par_chunks(task)).for_each(|(y, acc)| {
                    for (i, (y, &acc)) in y.iter_mut().zip(acc).enumerate() {
                        *y = (scale[i % scale.len()] * acc as f64) as f32;
                    }
                })
            }
        }
        y
    }
}
