//! QDrop: an activation stays float now and then while weights are learned.
//!
//! Wei et al., "QDrop: randomly dropping quantization for extremely low-bit post-training quantization" (ICLR 2022): with
//! probability `p` an element of a layer's input is not rounded in this pass,
//!
//! ```text
//! y = x        where dropped, with probability p
//! y = x_hat    elsewhere
//! ```
//!
//! Weights that fit one rounding of the activations exactly fit no other; with the noise they must suit all of them, which
//! is a flatter minimum. `p = 1/2` in the paper. The gradient of a dropped element is the identity, that of the others is
//! that of [`learned_step`](crate::training::learned_step): to `x` inside the clip range, to the step `s` by LSQ.

use std::sync::Arc;

use engine::rng::Rng;
use engine::{Op, Record, Result, Tape, Tensor, Var};
use rayon::prelude::*;

use crate::numbers::entry::CHUNK;
use crate::training::learned_step::StepGradient;
use crate::{Grid, QParams, fake_quantize};

/// Which elements stay float: one bit each, in words of 32.
#[derive(Clone)]
pub struct Dropped(Arc<Vec<u32>>);

impl Dropped {
    /// A draw for `len` elements: each is dropped with probability 1/2.
    pub fn half(rng: &mut Rng, len: usize) -> Self {
        Self(Arc::new((0..len.div_ceil(32)).map(|_| rng.next_u32()).collect()))
    }

    /// Whether element `i` stays float.
    pub fn is_dropped(&self, i: usize) -> bool {
        self.0[i / 32] >> (i % 32) & 1 == 1
    }

    /// `y[i] = x[i]` wherever `i` is dropped.
    pub fn restore(&self, x: &[f32], y: &mut [f32]) {
        y.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, y)| {
            let x = &x[chunk * CHUNK..];
            for (i, (y, &x)) in y.iter_mut().zip(x).enumerate() {
                *y = if self.is_dropped(chunk * CHUNK + i) { x } else { *y };
            }
        });
    }
}

/// `y` of the formula above on a tape, with the step `s` a scalar there; zero point 0.
///
/// # Errors
/// If a value is NaN, or the step is not positive.
pub fn fake_quantize_dropped_on(
    tape: &mut Tape,
    x: Var,
    s: Var,
    grid: Grid,
    dropped: Dropped,
) -> Result<Var> {
    let q = QParams::per_tensor(grid, tape.value(s).data()[0], 0)?;
    let mut y = fake_quantize(tape.value(x), &q)?;
    dropped.restore(tape.value(x).data(), y.data_mut());
    Ok(tape.push(y, &[x, s], DroppedRounding { grid, dropped }))
}

struct DroppedRounding {
    grid: Grid,
    dropped: Dropped,
}

impl Op for DroppedRounding {
    fn name(&self) -> &'static str {
        "dropped_rounding"
    }

    fn backward(&self, ctx: &Record<'_>, mut dy: Tensor) -> Vec<Option<Tensor>> {
        let (x, s) = (ctx.input(0).data(), ctx.input(1).data()[0]);
        let (lo, hi) = (self.grid.qmin as f32 * s, self.grid.qmax as f32 * s);
        // Sums of fixed chunks, added in order: the same bits for any number of threads.
        let chunks = x.par_chunks(CHUNK).zip(dy.data_mut().par_chunks_mut(CHUNK)).enumerate();
        let sums: Vec<f64> = chunks
            .map(|(chunk, (x, dy))| {
                let mut ds = 0.0;
                for (i, (&x, dy)) in x.iter().zip(dy).enumerate() {
                    if !self.dropped.is_dropped(chunk * CHUNK + i) {
                        ds += f64::from(*dy * StepGradient::Lsq.of(x, s, self.grid));
                        *dy = if x >= lo && x <= hi { *dy } else { 0.0 };
                    }
                }
                ds
            })
            .collect();
        vec![ctx.needs(0).then_some(dy), Some(Tensor::scalar(sums.iter().sum::<f64>() as f32))]
    }
}

#[cfg(test)]
mod tests {
    use engine::rng::Purpose;

    use super::*;

    #[test]
    fn dropped_elements_are_the_identity_and_the_others_those_of_a_learned_step() {
        let (grid, s) = (Grid::unsigned(2).unwrap(), 0.3);
        let x = Tensor::from_fn([70], |i| (i as f32 * 0.37).sin() + 0.5);
        let dy = Tensor::from_fn([70], |i| (i as f32 * 0.73).cos());
        let dropped = Dropped::half(&mut Rng::at(1, Purpose::Test, 0, 0), 70);
        let mut tape = Tape::new();
        let (vx, vs) = (tape.leaf(x.clone(), true), tape.leaf(Tensor::scalar(s), true));
        let y = fake_quantize_dropped_on(&mut tape, vx, vs, grid, dropped.clone()).unwrap();
        let rounded = fake_quantize(&x, &QParams::per_tensor(grid, s, 0).unwrap()).unwrap();
        let (mut ds, y_value) = (0.0, tape.value(y).clone());
        tape.backward(y, dy.clone()).unwrap();
        for i in 0..70 {
            let (x, dy) = (x.data()[i], dy.data()[i]);
            let dx = tape.grad(vx).unwrap().data()[i];
            if dropped.is_dropped(i) {
                assert_eq!((y_value.data()[i], dx), (x, dy));
            } else {
                assert_eq!(y_value.data()[i], rounded.data()[i]);
                assert_eq!(dx, if (0.0..=3.0 * s).contains(&x) { dy } else { 0.0 });
                ds += dy * StepGradient::Lsq.of(x, s, grid);
            }
        }
        assert!((tape.grad(vs).unwrap().data()[0] - ds).abs() < 1e-4);
        let count = (0..70).filter(|&i| dropped.is_dropped(i)).count();
        assert!((20..50).contains(&count), "{count} of 70");
    }
}
