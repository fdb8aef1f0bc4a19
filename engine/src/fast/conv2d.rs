//! Convolution, fast; equals the plain [`ops::conv2d`](crate::ops::conv2d()) up to rounding, by every algorithm on every
//! instruction set (`conv2d/tests.rs`), for numbers that are finite: the zeros of the padding are multiplied, not left out.
//!
//! Three algorithms compute it: im2col with a matrix product (general, and the one to read first), the direct
//! kernels of [`crate::kernel`] (fast, for channel counts that fill vectors), and Winograd's (fastest, for 3x3
//! kernels with stride 1). All run in parallel over images; sums over images are taken in chunks whose bounds depend on
//! the batch alone, so that the result has the same bits for any number of threads.
//!
//! | file | what it holds |
//! |---|---|
//! | `pass` | a convolution and its gradients as functions of a few images |
//! | `general`, `direct`, `winograd` | these functions by each algorithm |
//! | `algorithm` | which algorithm computes a shape |
//! | `batch` | the runner over the images of a batch |
//! | `forward`, `backward` | the convolution of whole tensors |

pub(super) mod algorithm;
mod backward;
pub(super) mod batch;
mod direct;
mod forward;
mod general;
mod pass;
mod winograd;

pub use algorithm::Algorithm;
pub use backward::{Conv2dGrads, conv2d_backward};
pub use forward::conv2d_forward;

use crate::ops::Conv2dShape;
use crate::{Op, Record, Result, Tape, Tensor, Var};

/// Convolution by `algorithm`, recorded. The bias is optional: a batch norm that follows makes it useless.
///
/// # Errors
/// If the shapes do not fit.
pub fn conv2d(
    tape: &mut Tape,
    algorithm: Algorithm,
    x: Var,
    w: Var,
    b: Option<Var>,
    [stride, padding]: [usize; 2],
) -> Result<Var> {
    let shape = Conv2dShape::new(tape.value(x).shape(), tape.value(w).shape(), stride, padding)?;
    let y = conv2d_forward(algorithm, &shape, tape.value(x), tape.value(w), b.map(|b| tape.value(b)))?;
    let inputs = [Some(x), Some(w), b];
    let inputs: Vec<Var> = inputs.into_iter().flatten().collect();
    Ok(tape.push(y, &inputs, Conv2d { shape, algorithm, bias: b.is_some() }))
}

struct Conv2d {
    shape: Conv2dShape,
    algorithm: Algorithm,
    bias: bool,
}

impl Op for Conv2d {
    fn name(&self) -> &'static str {
        "conv2d"
    }

    fn backward(&self, record: &Record<'_>, dy: Tensor) -> Vec<Option<Tensor>> {
        let needs = [record.needs(0), record.needs(1)];
        let grads =
            conv2d_backward(self.algorithm, &self.shape, record.input(0), record.input(1), &dy, needs);
        let mut all = vec![grads.dx, grads.dw];
        if self.bias {
            all.push(record.needs(2).then(|| backward::bias_grad(&dy)));
        }
        all
    }
}

#[cfg(test)]
mod tests;
